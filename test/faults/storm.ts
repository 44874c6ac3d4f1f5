import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'tap'
import { startApp } from '../support/app.js'
import { eventually } from '../support/eventually.js'
import { startProgram } from '../support/process.js'

const CLIENTS = 10_000

test('fault 23: 10,000 clients connect at once, twice', { timeout: 600_000 }, async t => {
  // A machine that is busy with other things may take longer than an upgrade is given by default.
  const { app, notifications } = await startApp(t, { limits: { connections: CLIENTS, upgradeTimeout: 120_000 } })
  app.log.level = 'error' // a line for each is not what is tried here
  for (let round = 1; round <= 2; round++) {
    global.gc?.()
    const before = process.memoryUsage()
    const delay = monitorEventLoopDelay({ resolution: 10 })
    delay.enable()
    const began = performance.now()
    const clients = startProgram(t, 'test/support/crowd.ts', [notifications(''), String(CLIENTS)])
    const lines = createInterface(clients.stdout!)
    const [connected] = await once(lines, 'line')
    const seconds = (performance.now() - began) / 1_000
    delay.disable()
    t.equal(connected, `${CLIENTS} connected, 0 errors`)
    t.equal(app.notifier.size, CLIENTS)
    t.ok(app.notifier.health().ready)
    const after = process.memoryUsage()
    t.comment(`${Math.round(CLIENTS / seconds)} connections a second, ${((after.rss - before.rss) / CLIENTS / 1024).toFixed(1)} KiB each (rss), ` +
      `event-loop delay ${(delay.percentile(50) / 1e6).toFixed(0)} ms p50, ${(delay.max / 1e6).toFixed(0)} ms at most`)

    const { users, outcomes, connections } = await app.notifier.broadcast('hello')
    t.same({ users, outcomes, connections }, { users: CLIENTS, outcomes: { sent: CLIENTS }, connections: CLIENTS })
    const [received] = await once(lines, 'line')
    t.equal(received, `${CLIENTS} received`)
    clients.kill('SIGKILL')
    await eventually(() => app.notifier.size === 0, 'all are gone')
  }
})
