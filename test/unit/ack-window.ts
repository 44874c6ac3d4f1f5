import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { AckWindow } from '../../src/delivery/ack-window.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import { call, MemoryMessage, MemoryStore, settleDown, startInstance } from '../support/core.js'
import { moveClock } from '../support/move-clock.js'

const size = { count: 100, bytes: Infinity }

/** A message whose dead letter is confirmed when the test says so. */
class UnconfirmedMessage extends MemoryMessage {
  confirm!: () => void
  readonly #confirmed = new Promise<void>(resolve => { this.confirm = resolve })

  override async deadLetter (notification: { payload: Payload }): Promise<void> {
    await super.deadLetter(notification)
    await this.#confirmed
  }
}

function deliveryOf (userId: string, bytes = 1_024): Delivery {
  const delivery = new Delivery(compose(userId, 'x'), Object.assign(new MemoryMessage(), { bytes }), 0, Infinity)
  delivery.connections = 1
  return delivery
}

test('fault 90: with a hold, a user whose clients do not acknowledge takes a quarter of the window; the rest is held at once', async t => {
  const store = new MemoryStore()
  const { connect, deliver, dispatcher, outcomes } = startInstance({ offline: 'hold', maxUnacked: 1_000 }, { store, windowSize: size })
  const silent = connect('silent')
  await settleDown()
  for (let n = 0; n < 60; n++) deliver(`s${n}`, 'silent')
  for (let turn = 0; turn < 20; turn++) await settleDown()
  t.equal([...outcomes].filter(([, all]) => all.includes('held')).length, 35)
  t.same(store.ids('silent'), Array.from({ length: 35 }, (_, n) => `s${n + 25}`))
  t.equal(silent.sent.length, 60, 'it may have them from the hold')

  const good = connect('good')
  await settleDown()
  const result = deliver('g', 'good')
  await settleDown()
  dispatcher.acknowledged(good, ['g'])
  t.match(await result, { outcome: 'acknowledged' })

  dispatcher.acknowledged(silent, Array.from({ length: 60 }, (_, n) => `s${n}`))
  for (let turn = 0; turn < 5; turn++) await settleDown()
  t.same(store.ids('silent'), [], 'its acks count as ever')
})

test('fault 90: calls of notify() take no room in the window of the queue', async t => {
  const { connect, deliver, outcomes } = startInstance({ offline: 'hold', maxUnacked: 1_000 }, { store: new MemoryStore(), windowSize: size })
  connect('silent')
  await settleDown()
  for (let n = 0; n < 60; n++) deliver(`c${n}`, 'silent', call)
  await settleDown()
  t.same([...outcomes], [])
})

test('fault 90: what has waited for longest gives way, of the users of whom most waits, until a quarter of the window is free', t => {
  const window = new AckWindow(size)
  const most = Array.from({ length: 60 }, () => deliveryOf('most'))
  const others = Array.from({ length: 40 }, (_, n) => deliveryOf(`user ${n}`))
  for (const delivery of [...others, ...most]) window.add(delivery)
  const now = performance.now()
  t.same(window.overstaying(now), [], 'clients have a moment to acknowledge')
  t.same(window.overstaying(now + 1_500), most.slice(0, 26))
  for (const delivery of most.slice(0, 26)) window.delete(delivery)
  t.same(window.overstaying(now + 1_500), [])
  t.ok(window.isUsedUpBy('most', false), 'nothing more waits for who has overstayed, until everything is acknowledged')
  t.notOk(window.isUsedUpBy('user 1', false))
  for (const delivery of most) window.delete(delivery)
  for (const delivery of most) window.add(delivery)
  t.notOk(window.isUsedUpBy('most', false))
  t.end()
})

test('a message for many users takes one place of the window, until the last of them is settled', t => {
  const window = new AckWindow({ count: 4, bytes: Infinity })
  const { payload } = compose('a', 'x', 'x')
  const origin = Object.assign(new MemoryMessage(), { isShared: true })
  const many = Array.from({ length: 100 }, (_, n) => Object.assign(new Delivery({ userId: `user ${n}`, payload }, origin, 0, Infinity), { connections: 1 }))
  const single = [deliveryOf('user 0'), deliveryOf('user 0')]
  for (const delivery of many) window.add(delivery)
  window.add(single[0]!)
  const later = performance.now() + 1_500
  t.same(window.overstaying(later), [])
  window.add(single[1]!)
  t.same(window.overstaying(later + 1_500), [many[0], single[0]], 'of the user of whom most waits')
  for (const delivery of many) window.delete(delivery)
  t.same(window.overstaying(later + 1_500), [])
  t.end()
})

test('fault 90: a window that is full of few large messages gives way too', t => {
  const window = new AckWindow({ count: 100, bytes: 10_000 })
  const large = Array.from({ length: 4 }, () => deliveryOf('large', 2_000))
  for (const delivery of large) window.add(delivery)
  t.ok(window.isUsedUpBy('large', true))
  t.notOk(window.isUsedUpBy('small', true))
  t.same(window.overstaying(performance.now() + 1_500), large.slice(0, 1))
  t.end()
})

test('fault 92: a window that is full of the users of few messages gives way too', t => {
  const window = new AckWindow({ count: 100, bytes: 100_000 })
  const { payload } = compose('a', 'x', 'x')
  const origin = Object.assign(new MemoryMessage(), { isShared: true, bytes: 2_000 })
  const many = Array.from({ length: 80 }, (_, n) => Object.assign(new Delivery({ userId: `user ${n}`, payload }, origin, 0, Infinity), { connections: 1 }))
  for (const delivery of many) window.add(delivery)
  const later = performance.now() + 1_500
  t.same(window.overstaying(later), many.slice(0, 20), '1,200 bytes each')
  for (const delivery of many) window.delete(delivery)
  for (const delivery of many.slice(0, 60)) window.add(delivery)
  t.same(window.overstaying(later + 1_500), [], 'and nothing is left of those before')
  t.end()
})

test('fault 90: what a peer was asked for, and nobody has yet, is not given up', t => {
  const window = new AckWindow({ count: 1, bytes: Infinity })
  const asked = deliveryOf('elsewhere')
  asked.connections = 0
  window.add(asked)
  t.same(window.overstaying(performance.now() + 1_500), [])
  asked.connections = 1
  t.same(window.overstaying(performance.now() + 1_500), [asked])
  t.end()
})

test('fault 75: what clients have rejected for good waits for its dead letter alone, and has no outcome before', async t => {
  const pass = moveClock(t)
  for (const offline of ['drop', 'dead-letter', 'hold'] as const) {
    const store = offline === 'hold' ? new MemoryStore() : undefined
    const { connect, deliver, dispatcher, outcomes } = startInstance({ offline, maxDeliveries: 1 }, { store, windowSize: { count: 1, bytes: Infinity } })
    const message = new UnconfirmedMessage()
    const client = connect('123')
    await settleDown()
    const result = deliver('a', '123', message)
    dispatcher.rejections.reject(client, ['a'])
    pass(1_500)
    dispatcher.tick()
    await settleDown()
    t.same([...outcomes], [], offline)
    message.confirm()
    t.match(await result, { outcome: 'dead-lettered' })
    t.same(message.letters, ['a'], 'once')
  }
})

test('fault 75: what waits for the next try and has to give way is not tried again', async t => {
  const pass = moveClock(t)
  const { connect, deliver, dispatcher } = startInstance({ offline: 'dead-letter' }, { windowSize: { count: 1, bytes: Infinity } })
  const message = new UnconfirmedMessage()
  const client = connect('123')
  const result = deliver('a', '123', message)
  dispatcher.rejections.reject(client, ['a'])
  pass(1_500)
  dispatcher.tick()
  t.same(message.letters, ['a'])
  dispatcher.beginToClose() // what waits for the next try is tried now
  t.equal(client.sent.length, 1)
  message.confirm()
  t.match(await result, { outcome: 'dead-lettered' })
})

for (const [offline, outcome] of [['drop', 'offline'], ['dead-letter', 'dead-lettered'], ['hold', 'held']] as const) {
  test(`fault 91: who opens a new connection before the old one is closed does not renew the deadline of a message (${offline})`, async t => {
    const { connect, deliver, dispatcher } = startInstance({ offline, ackTimeout: 100 }, { store: offline === 'hold' ? new MemoryStore() : undefined, windowSize: size })
    const settled = new AbortController()
    connect('123')
    const result = deliver('a').finally(() => settled.abort())
    for (let tries = 0; !settled.signal.aborted && tries < 200; tries++) {
      connect('123')
      await delay(20)
      dispatcher.tick()
    }
    t.ok(settled.signal.aborted)
    t.match(await result, { outcome })
  })
}

test('fault 91: the same is true of a message for everybody', async t => {
  const { connect, dispatcher, subscribers } = startInstance({ ackTimeout: 100 }, { windowSize: size })
  const settled = new AbortController()
  connect('123')
  const result = Promise.resolve(dispatcher.deliverLive(compose('123', 'hi', 'a'), subscribers, new MemoryMessage(), false)).finally(() => settled.abort())
  for (let tries = 0; !settled.signal.aborted && tries < 200; tries++) {
    connect('123')
    await delay(20)
    dispatcher.tick()
  }
  t.ok(settled.signal.aborted)
  t.match(await result, { outcome: 'offline' })
})

test('fault 91: the deadline of a message counts on the next connection too, which is not closed for it', async t => {
  const pass = moveClock(t)
  const { connect, deliver, disconnect, dispatcher } = startInstance({ ackTimeout: 30_000 }, { windowSize: size })
  const first = connect('123')
  const result = deliver('a')
  await settleDown()
  const second = connect('123')
  pass(20_000)
  disconnect(first)
  t.same(second.sent, [{ id: 'a', redelivered: true }])
  pass(9_000)
  dispatcher.tick()
  t.equal(second.unackedCount, 1)
  pass(2_000)
  dispatcher.tick()
  t.match(await result, { outcome: 'offline', connections: 2 })
  t.equal(second.unackedCount, 0)
  t.ok(second.isUsable)
})
