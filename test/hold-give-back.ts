// What is held in memory, at the end of the process.
import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'

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
