import Fastify from 'fastify'
import { test } from 'tap'
import notificationPlugin from '../../src/index.js'
import { startApp } from '../support/app.js'
import { connectClient } from '../support/client.js'

test('without amqpUrl there is no broker, and notify() works alone', async t => {
  const { app, notifications, log } = await startApp(t, {})
  const client = await connectClient(t, notifications('123'))
  t.match(app.notifier.health(), { state: 'no-broker', ready: true, unsettled: 0, lastError: undefined })
  await app.notifier.notify('123', 'hello')
  t.same(await client.received(1), ['hello'])
  t.notOk(log.lines.some(({ msg }) => msg.startsWith('broker')))
})

test('health() of an application without a broker says that it is closing', async t => {
  const { app } = await startApp(t, {})
  const closed = app.close()
  await new Promise(resolve => setImmediate(resolve))
  t.match(app.notifier.health(), { ready: false })
  await closed
  t.match(app.notifier.health(), { state: 'stopped', ready: false })
})

test("an application's own tests need neither a broker nor a port", async t => {
  const app = Fastify()
  await app.register(notificationPlugin, {})
  t.teardown(() => app.close())
  await app.ready()
  const socket = await app.injectWS('/notification?userId=123')
  const message = new Promise(resolve => socket.once('message', (data: Buffer) => resolve(data.toString())))
  await app.notifier.notify('123', 'hello')
  t.equal(await message, 'hello')
  socket.terminate()
})

test('registered twice, the plugin is refused', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(notificationPlugin, {})
  await t.rejects(async () => { await app.register(notificationPlugin, { path: '/other' }) }, { code: 'FST_NOTIFICATION_REGISTERED_TWICE' })
})
