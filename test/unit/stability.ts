import { EventEmitter, once } from 'node:events'
import { test } from 'tap'
import { Backoff } from '../../src/backoff.js'
import { Stability } from '../../src/rabbitmq/stability.js'

const HOUR = 3_600_000

test('waits are doubled up to the longest one, with a fifth of jitter, until they are reset', async t => {
  const backoff = new Backoff({ initialDelay: 100, maxDelay: 1_000 })
  for (let round = 0; round < 100; round++) {
    for (const planned of [100, 200, 400, 800, 833, 833, 833]) {
      const wait = backoff.next()
      t.ok(wait >= 0.8 * planned - 1 && wait <= 1.2 * planned + 1 && wait <= 1_000, `${wait} of ${planned}`)
    }
    backoff.reset()
  }
})

test('a reason is logged once in an hour, whatever differs in the text of a broker', async t => {
  let now = 0
  const stability = new Stability({ initialDelay: 1, maxDelay: 60_000 }, () => {}, () => now)
  const closed = (tag: number) => Object.assign(new Error(`unknown delivery tag ${tag}`), { code: 406, classId: 60, methodId: 80 })
  t.ok(stability.isNews(closed(1)))
  t.notOk(stability.isNews(closed(2)))
  t.ok(stability.isNews(new Error('ECONNREFUSED')), 'another reason')
  t.notOk(stability.isNews(closed(3)), 'the first one again')
  now = HOUR
  t.ok(stability.isNews(closed(4)), 'an hour later')
  t.notOk(stability.isNews(closed(5)))

  for (let n = 0; n < 1_000; n++) stability.isNews(new Error(String(n)))
  t.ok(stability.isNews(closed(6)), 'reasons without end are not remembered')
})

test('a connection has proved useful when it has stayed open for the longest wait', async t => {
  const events = new EventEmitter()
  const stability = new Stability({ initialDelay: 1, maxDelay: 20 }, () => events.emit('proved'))
  for (let times = 0; times < 3; times++) {
    stability.opened()
    stability.lost()
  }
  t.ok(stability.isFlapping)
  const proved = once(events, 'proved')
  stability.opened()
  await proved
  t.notOk(stability.isFlapping)
})
