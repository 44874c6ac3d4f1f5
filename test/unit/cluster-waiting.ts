// What waits for the other instances while the broker takes no publishes: see also faults/broadcasts.ts.
import { test, type Test } from 'tap'
import { BroadcastQueue } from '../../src/cluster/broadcast-queue.js'
import { UrgentPublishes } from '../../src/cluster/urgent-publishes.js'
import { eventually } from '../support/eventually.js'

const MAX_AGE = 60_000
const SECOND = 1_000
/** Nothing is tried again by itself within a test. */
const never = { initialDelay: 600_000, maxDelay: 600_000 }

/** A queue whose broker does as it is told, and what it was given. */
function openQueue (t: Test, reconnect = never) {
  const broker = { isOpen: true, refuses: (_body: string) => false, published: [] as string[] }
  const unsent = { overflow: 0, expired: 0 }
  const clock = { now: 0 }
  const queue = new BroadcastQueue({
    reconnect,
    probe: answered => { answered(broker.isOpen) },
    publish (body, answered) {
      const isTaken = !broker.refuses(body)
      if (isTaken) broker.published.push(body)
      setImmediate(answered, isTaken)
    },
    sent () {},
    unsent: reason => { unsent[reason]++ },
    now: () => clock.now
  })
  t.teardown(() => queue.close())
  return { queue, broker, unsent, clock }
}

const numbers = (count: number) => Array.from({ length: count }, (_, n) => String(n))

test('broadcasts go out in order, those too of which a part was refused', async t => {
  const { queue, broker, unsent } = openQueue(t, { initialDelay: 1, maxDelay: 1 })
  const wanted = numbers(1_000)
  let refusals = 0
  broker.refuses = body => {
    // All that come after one of a batch are refused, as its channel is closed.
    const isNext = Number(body) === broker.published.length && (Number(body) % 37 !== 36 || refusals % 2 === 1)
    if (!isNext) refusals++
    return !isNext
  }
  for (const body of wanted) queue.add(body)
  await eventually(() => broker.published.length === wanted.length, 'published')
  t.same(broker.published, wanted)
  t.ok(refusals > 20, `${refusals} refused`)
  t.same(unsent, { overflow: 0, expired: 0 })
})

test('at most 1,000 broadcasts wait, and 16 MiB; the oldest are given up', t => {
  const { queue, broker, unsent } = openQueue(t)
  broker.isOpen = false
  for (const body of numbers(1_500)) queue.add(body)
  t.same(unsent, { overflow: 500, expired: 0 })
  const large = 'x'.repeat(10 * 1_048_576)
  queue.add(large)
  t.same(unsent, { overflow: 501, expired: 0 }, 'in the place of the oldest')
  queue.add(large)
  t.same(unsent, { overflow: 1_501, expired: 0 }, 'there is no room for two of these')
  queue.add('x'.repeat(20 * 1_048_576))
  t.same(unsent, { overflow: 1_502, expired: 0 }, 'a single one may be larger')
  queue.add('last')
  t.same(unsent, { overflow: 1_503, expired: 0 }, 'and gives way to the next')
  broker.isOpen = true
  queue.resume()
  t.same(broker.published, ['last'])
  t.end()
})

test('a broadcast that has waited for a minute is given up, the others are not', t => {
  const { queue, broker, unsent, clock } = openQueue(t)
  broker.isOpen = false
  for (const body of numbers(60)) {
    queue.add(body)
    clock.now += SECOND
  }
  clock.now = MAX_AGE + 29 * SECOND
  broker.isOpen = true
  queue.resume()
  t.same(broker.published, numbers(60).slice(30))
  t.same(unsent, { overflow: 0, expired: 30 })
  t.end()
})

test('what waits goes out when the application closes, where the broker takes it', t => {
  const { queue, broker, clock } = openQueue(t)
  broker.isOpen = false
  queue.add('old')
  clock.now = MAX_AGE
  queue.add('young')
  queue.close()
  queue.add('too late')
  t.same(broker.published, ['young'])
  t.end()
})

test('of each user the last disconnect() waits, of 100,000 of them, and goes out when the broker takes publishes', async t => {
  const broker = { isOpen: true, published: [] as string[] }
  let unsent = 0
  const urgent = new UrgentPublishes({
    reconnect: never,
    publish (userId, body, answered) {
      if (!broker.isOpen) return answered(false)
      broker.published.push(`${userId} ${body}`)
      setImmediate(answered, true)
    },
    sent () {},
    unsent () { unsent++ }
  })
  t.teardown(() => urgent.close())
  urgent.add('0', 'at once')
  t.same(broker.published.splice(0), ['0 at once'])

  broker.isOpen = false
  for (let round = 0; round < 3; round++) for (const userId of numbers(100_000)) urgent.add(userId, `round ${round}`)
  t.equal(unsent, 0)
  for (const userId of numbers(10)) urgent.add(`newer ${userId}`, 'round 2')
  t.equal(unsent, 10, 'the oldest give way')

  broker.isOpen = true
  urgent.resume()
  t.ok(broker.published.length <= 10_000, 'no more are unconfirmed at a time')
  await eventually(() => broker.published.length === 100_000, 'published')
  t.equal(new Set(broker.published).size, 100_000)
  t.ok(broker.published.every(text => text.endsWith('round 2')))
})

test('a publish that the broker refuses after a newer one for the same user was made is not made again', t => {
  const published: Array<{ body: string, answered (isTaken: boolean): void }> = []
  const urgent = new UrgentPublishes({
    reconnect: never,
    publish (_userId, body, answered) { published.push({ body, answered }) },
    sent () {},
    unsent () {}
  })
  t.teardown(() => urgent.close())
  urgent.add('123', 'older')
  urgent.add('123', 'newer')
  published[1]!.answered(true)
  published[0]!.answered(false)
  urgent.resume()
  t.same(published.map(({ body }) => body), ['older', 'newer'])

  urgent.add('123', 'newest')
  published[2]!.answered(false)
  urgent.resume()
  t.same(published.map(({ body }) => body), ['older', 'newer', 'newest', 'newest'], 'the newest one is made until it is taken')
  t.end()
})
