import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'tap'
import notificationPlugin from '../src/index.js'
import { freePorts } from '../support/network.mjs'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { startBroker } from './support/private-broker.js'
import { startProxy } from './support/proxy.js'

test('fault 3: a broker that is not there fails ready() in a few tries, with a coded error', async t => {
  const [port] = await freePorts(1)
  const { app, log } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: `amqp://user:hush@127.0.0.1:${port}/shop`, queue: 'hello' })
  const error = await app.ready().then(() => undefined, (error: Error) => error)
  t.match(error, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', message: `could not connect to amqp://user:***@127.0.0.1:${port}/shop: connect ECONNREFUSED` })
  t.equal(app.notifier.health().state, 'stopped')
  t.notMatch(JSON.stringify([log.lines, error?.message]), 'hush')
})

for (const [name, change] of Object.entries({
  'wrong credentials': (url: URL) => { url.password = 'hush' },
  'a virtual host that is not there': (url: URL) => { url.pathname = '/nowhere' }
})) {
  test(`fault 13: ${name}: refused at once, with a coded error and no password in it`, async t => {
    const broker = await useBroker(t)
    const proxy = await startProxy(t, broker.url)
    const url = new URL(proxy.through(broker.url))
    change(url)
    const { app, log } = createApp(t)
    await app.register(notificationPlugin, { amqpUrl: url.href, queue: broker.queueName() })
    const error = await app.ready().then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FST_NOTIFICATION_BROKER_REFUSED', message: /guest:\*\*\*@.* refused: / })
    t.notMatch(JSON.stringify([log.lines, error?.message]), 'hush')
    t.equal(app.notifier.health().state, 'stopped')
    t.ok(proxy.accepted <= 2, 'each connection tried once')
  })
}

test('fault 3: a peer that accepts and stays silent fails ready() within the time that Fastify allows', async t => {
  const server = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: `amqp://127.0.0.1:${port}`, queue: 'hello', connectTimeout: 100 })
  await t.rejects(async () => { await app.ready() }, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', message: /ETIMEDOUT/ })
})

test('a password with characters beyond ASCII lets the plugin in', async t => {
  const node = await startBroker(t)
  await node.ctl('add_user', 'änn', 'pässwörd:/@')
  await node.ctl('set_permissions', 'änn', '.*', '.*', '.*')
  const { app } = await startApp(t, { amqpUrl: `amqp://${encodeURIComponent('änn')}:${encodeURIComponent('pässwörd:/@')}@127.0.0.1:${node.port}`, queue: 'hello' })
  t.ok(app.notifier.health().ready)
})
