// What is held in memory, at the end of the process.
import { test } from 'tap'
import { startApp, type TestApp } from './support/app.js'
import { connectTo, useBroker, type TestBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startBroker } from './support/private-broker.js'
import { startProxy } from './support/proxy.js'
import { connectRich } from './support/rich-client.js'

test('at shutdown what is held in memory is published back to the queue, and delivered by the next process', async t => {
  const broker = await useBroker(t)
  const options = { amqpUrl: broker.url, queue: broker.queueName(), offline: 'hold' } as const
  const { app, log } = await startApp(t, options)
  await broker.publishWith({ persistent: true, expiration: '600000' }, options.queue, { userId: '123', content: { n: 1 }, id: 'first' })
  await broker.publish(options.queue, { userId: '123', content: 'second', id: 'second' }, { userId: '456', content: 'third', id: 'third' })
  await eventually(() => app.notifier.stats().held === 3, 'held')
  await app.close()
  t.match(await log.line('hold published back to the queue'), { count: 3 })

  const returned = await broker.takeAll(options.queue)
  t.same(returned.map(({ content }) => JSON.parse(content.toString())).toSorted((a, b) => a.id < b.id ? -1 : 1), [
    { userId: '123', content: { n: 1 }, id: 'first' },
    { userId: '123', content: 'second', id: 'second' },
    { userId: '456', content: 'third', id: 'third' }
  ])
  for (const { properties: { expiration, deliveryMode } } of returned) {
    t.equal(deliveryMode, 2, 'persistent')
    if (expiration !== undefined) t.ok(Number(expiration) > 0 && Number(expiration) <= 600_000, 'what is left of its time')
  }
  t.equal(returned.filter(({ properties: { expiration } }) => expiration !== undefined).length, 1)

  const next = await startApp(t, options)
  for (const { content } of returned) await broker.publish(options.queue, content)
  await eventually(() => next.app.notifier.stats().held === 3, 'held by the next')
  const client = await connectClient(t, next.notifications('123'))
  t.same((await client.received(2)).toSorted(), ['second', '{"n":1}'])
})

test('without a broker what is held is lost, and the log says so', async t => {
  const { app, log } = await startApp(t, { offline: 'hold' })
  await app.notifier.notify('123', 'hi')
  await app.close()
  t.match(await log.line('held notifications lost'), { count: 1, level: 50 })
})

/** Lets an application hold some of a user, each with its number as its content. */
async function hold (broker: TestBroker, { app }: Pick<TestApp, 'app'>, queue: string, count: number, content = (n: number): unknown => n): Promise<void> {
  await broker.publish(queue, ...Array.from({ length: count }, (_, n) => ({ userId: `${n % 10}`, content: content(n), id: `n${n}` })))
  await eventually(() => app.notifier.stats().held === count, 'held')
}

test('fault 81: ages and order survive a deploy, whatever the order in which the queue gives them out', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const options = { amqpUrl: broker.url, queue, offline: 'hold' } as const
  const first = await startApp(t, options)
  const bodies = ['a', 'b', 'c', 'd', 'e'].map(id => ({ userId: '123', content: id, id }))
  await broker.publishWith({ persistent: true, expiration: '600000' }, queue, bodies[0]!)
  await broker.publish(queue, ...bodies.slice(1))
  await eventually(() => first.app.notifier.stats().held === bodies.length, 'held')
  const heldAt = Date.now()
  await first.app.close()

  const returned = await broker.takeAll(queue)
  const ages = returned.map(({ properties: { headers } }) => headers!['x-notification-held-since'] as number)
  t.same(ages, [...ages].sort((a, b) => a - b), 'the oldest first')
  t.ok(ages.every(age => age > (heldAt - 60_000) * 1_000 && age <= (heldAt + 1_000) * 1_000))
  t.ok(returned[0]!.properties.headers!['x-notification-expires-at'] <= heldAt + 601_000)
  for (const { content, properties: { headers, expiration } } of returned.toReversed()) {
    await broker.publishWith({ persistent: true, headers, expiration }, queue, content)
  }
  const second = await startApp(t, options)
  await eventually(() => second.app.notifier.stats().held === bodies.length, 'held by the second')
  await second.app.close()
  const again = (await broker.takeAll(queue)).map(({ properties: { headers } }) => headers!['x-notification-held-since'] as number)
  t.same(again.map((age, n) => Math.abs(age - ages[n]!) <= 1_000_000), ages.map(() => true), 'as old as before, to the second')

  for (const [n, body] of bodies.entries()) await broker.publishWith({ headers: { 'x-notification-held-since': ages[n] } }, queue, body)
  await eventually(() => Date.now() > heldAt + 1_500, 'older than the maxAge of the third')
  const third = await startApp(t, { ...options, hold: { maxAge: 1_000 } })
  await eventually(() => third.app.notifier.stats().dropped.expired === bodies.length, 'their age did not begin anew')
  t.match(third.app.notifier.stats(), { held: 0 })
})

test('fault 81: a client is told that what was given back may have been seen before', async t => {
  const broker = await useBroker(t)
  const options = { amqpUrl: broker.url, queue: broker.queueName(), offline: 'hold', settle: 'acknowledged' } as const
  const first = await startApp(t, options)
  await hold(broker, first, options.queue, 1)
  await first.app.close()
  const [message] = await broker.takeAll(options.queue)

  const next = await startApp(t, options)
  const client = await connectRich(t, next.notifications('0'))
  await broker.publishWith({ headers: message!.properties.headers }, options.queue, message!.content)
  t.match(await client.framesReceived(1), [{ id: 'n0', redelivered: true }])
})

test('fault 81: headers that somebody else has set make nothing younger, and nothing that is no time is believed', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, notifications } = await startApp(t, { amqpUrl: broker.url, queue, offline: 'hold', hold: { maxAge: 600_000 } })
  const publish = async (id: string, since: unknown, expires?: unknown) => {
    await broker.publishWith({ headers: { 'x-notification-held-since': since, 'x-notification-expires-at': expires } }, queue, { userId: '123', content: id, id })
  }
  const now = Date.now()
  for (const [n, since] of [(now + 3_600_000) * 1_000, 'yesterday', -1, 1.5, { a: 1 }, true, null].entries()) await publish(`fresh ${n}`, since, now + 9e9)
  await eventually(() => app.notifier.stats().held === 7, 'held')
  await publish('ancient', 1)
  await publish('past', now * 1_000, now - 1)
  await eventually(() => app.notifier.stats().dropped.expired === 2, 'expired, as by an expiration')
  const client = await connectClient(t, notifications('123'))
  t.same(await client.received(7), Array.from({ length: 7 }, (_, n) => `fresh ${n}`), 'in the order of the queue')
})

test('fault 81: at most 500 are on their way to the broker at a time', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, log } = await startApp(t, {
    amqpUrl: `${proxy.through(broker.url)}?heartbeat=60`, queue, offline: 'hold', drainTimeout: 300_000, publishTimeout: 120_000
  })
  await hold(broker, { app }, queue, 1_000)
  proxy.mute('publisher') // no confirm comes through
  const closed = app.close()
  const ready = async () => (await broker.channel.checkQueue(queue)).messageCount
  await eventually(async () => await ready() === 500, '500 are there')
  for (let n = 0; n < 10; n++) t.equal(await ready(), 500, 'and no more, as none is confirmed')
  proxy.forward()
  await closed
  t.match(await log.line('hold published back to the queue'), { count: 1_000 })
  t.equal(await ready(), 1_000)
})

test('fault 81: large ones are given back one after the other', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const { app, log } = await startApp(t, {
    amqpUrl: `${proxy.through(broker.url)}?heartbeat=60`, queue, offline: 'hold', drainTimeout: 300_000, publishTimeout: 120_000, hold: { maxBytes: 100_000_000 }
  })
  await hold(broker, { app }, queue, 12, n => `${n}`.repeat(900_000 / `${n}`.length))
  proxy.mute('publisher')
  const closed = app.close()
  const ready = async () => (await broker.channel.checkQueue(queue)).messageCount
  await eventually(async () => await ready() === 4, 'four megabytes are there')
  for (let n = 0; n < 10; n++) t.equal(await ready(), 4, 'and no more')
  proxy.forward()
  await closed
  t.match(await log.line('hold published back to the queue'), { count: 12 })
})

for (const isCleared of [false, true]) {
  test(`fault 81: a memory alarm when it is given back: ${isCleared ? 'it waits until that is over' : 'what is lost is told exactly'}`, { timeout: 240_000 }, async t => {
    const node = await startBroker(t)
    const broker = await connectTo(t, node.url)
    const { app, log } = await startApp(t, { amqpUrl: node.url, queue: 'hello', offline: 'hold', drainTimeout: isCleared ? 120_000 : 2_000 })
    await hold(broker, { app }, 'hello', 150)
    await node.ctl('set_vm_memory_high_watermark', '0.00001')
    const closed = app.close()
    if (isCleared) {
      await log.line('broker publisher blocked')
      await node.ctl('set_vm_memory_high_watermark', '0.6')
    }
    await closed
    await node.ctl('set_vm_memory_high_watermark', '0.6')
    const left = async () => (await broker.channel.checkQueue('hello')).messageCount
    if (isCleared) {
      t.match(await log.line('hold published back to the queue'), { count: 150 })
      await eventually(async () => await left() >= 150, 'all are there')
      return
    }
    const { count, unconfirmed, returned, first } = await log.line('held notifications lost') as unknown as { count: number, unconfirmed: number, returned: number, first: unknown[] }
    t.equal(count + returned, 150)
    t.ok(unconfirmed <= 500, `${unconfirmed} were sent`)
    t.match(first[0], { userId: /^\d$/, notificationId: /^n\d+$/ })
    t.equal(first.length, 20)
    const there = await left()
    t.ok(there >= returned && there <= returned + unconfirmed, `${there} are there`)
  })
}
