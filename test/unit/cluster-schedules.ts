// Some random schedules of several instances, always the same ones. `../cluster-schedules.ts` has more. A failed one is printed
// with its seed: `SCHEDULE=seed npx tap test/unit/cluster-schedules.ts` runs it alone, and `SCHEDULES=1000000` runs more.
import { test } from 'tap'
import { findViolation, settings } from '../support/schedules.js'

const count = Math.ceil(Number(process.env.SCHEDULES ?? 1_000) / settings.length)

for (const setting of settings) {
  const { settle, takers, offline, clients } = setting
  const who = takers === 'one' ? 'one instance takes' : 'several instances take'
  test(`with settle '${settle}', offline '${offline}' and ${clients} clients, while ${who} messages, whatever happens to instances, channels and inboxes: ${setting.promised}`, { timeout: 0 }, async t => {
    const { SCHEDULE } = process.env
    const seeds = SCHEDULE === undefined ? Array(count).keys() : [Number(SCHEDULE)]
    t.equal(await findViolation(setting, seeds), undefined)
  })
}
