// What becomes of a message whose channel dies, or that is moved to the dead-letter queue, before it has its outcome.
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { eventually } from '../support/eventually.js'
import { setUpRouter } from '../support/router.js'

const options = { settle: 'acknowledged', offline: 'dead-letter' } as const
const gone = { name: 'AbortError' }

for (const isBack of [true, false]) {
  test(`what the broker delivers again, as its channel and its client have gone, is ${isBack ? 'delivered to the next client' : 'dead-lettered where no other client has come'}`, async t => {
    const { connect, deliver, letters, relays } = setUpRouter(t, { ...options, cluster: true })
    const client = connect()
    const message = deliver('x')
    await turn()
    relays.shift()!.answered(false) // no other instance has the user
    t.same(client.received, ['x'])
    message.loseChannel()
    client.end()
    await t.rejects(message.outcome, gone)

    const next = isBack ? connect() : undefined
    const again = deliver('x', true)
    await turn()
    relays.shift()?.answered(false)
    next?.ack('x')
    t.match(await again.outcome, { outcome: isBack ? 'acknowledged' : 'dead-lettered' })
    t.same(next?.received, isBack ? ['x'] : undefined)
    t.same(letters, isBack ? [] : ['offline'])
  })
}

test('notify() under the id of a message that is on its way into the hold has its outcome, though the channel of that message dies', async t => {
  const tries: Array<(isWorking: boolean) => void> = []
  const { deliver, memory, notify, relays } = setUpRouter(t, {
    ...options,
    offline: 'hold',
    hold: { redis: 'redis://localhost' },
    cluster: true,
    store: {
      async add (userId, held) {
        const isWorking = await new Promise(resolve => tries.push(resolve))
        if (!isWorking) throw new Error('away')
        return await memory.add(userId, held)
      }
    }
  })
  const message = deliver('x')
  await turn()
  relays.shift()!.answered(false) // the other instance is gone
  await eventually(() => tries.length === 1, 'it is on its way')
  const notified = notify('x')
  message.loseChannel()
  tries.shift()!(false)
  await eventually(() => tries.length === 1, 'it is routed anew for notify()', 20_000)
  await t.rejects(message.outcome, gone)
  tries.shift()!(true)
  t.match(await notified, { outcome: 'held' })
})

test('what the broker delivers again while a client has it from the hold is held, whether or not that client acknowledges it', async t => {
  const { connect, deliver, journal, stats } = setUpRouter(t, { ...options, offline: 'hold' })
  const first = deliver('x')
  t.match(await first.outcome, { outcome: 'held' })
  first.loseChannel() // before its ack has gone out
  const client = connect()
  await turn()
  t.same(client.received, ['x'])

  t.match(await Promise.race([deliver('x', true).outcome, turn()]), { outcome: 'held', connections: 0 })
  t.same(client.received, ['x'], 'it is not sent twice')
  client.ack('x')
  t.match(stats.snapshot(), { held: 1, released: 1, acknowledged: 1 })
  t.match(journal.trace(undefined, { list: () => [] }), [{ event: 'held', from: 'queue' }, { event: 'held', from: 'queue' }, { event: 'acknowledged', from: 'hold' }])
})

test('what was moved to the dead-letter queue while it waited for room at a client is not delivered when there is room', async t => {
  const { connect, deliver } = setUpRouter(t, { ...options, maxUnacked: 1 })
  const client = connect()
  const [, moved] = [deliver('first'), deliver('moved'), deliver('next')]
  t.same(client.received, ['first'])
  moved!.origin.isMoved = true
  client.ack('first')
  t.same(client.received, ['first', 'next'])
})
