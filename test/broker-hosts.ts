import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { test } from 'tap'
import { freePorts } from '../support/network.mjs'
import notificationPlugin, { type AmqpCredentials } from '../src/index.js'
import { createApp, startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProxy } from './support/proxy.js'

const reconnect = { initialDelay: 1, maxDelay: 20 }

test('the hosts of amqpUrl are tried in turn until one answers, each at least once at start', async t => {
  const broker = await useBroker(t)
  const ports = await freePorts(19)
  const { notifications } = await startApp(t, { amqpUrl: [...ports.map(port => `amqp://127.0.0.1:${port}`), broker.url], queue: broker.queueName(), reconnect })
  await connectClient(t, notifications('123'))
})

test('if no host answers, the start fails with an error that names them all, without a password', async t => {
  const broker = await useBroker(t)
  const [first, second] = await freePorts(2)
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: [`amqp://user:hush@127.0.0.1:${first}`, `amqp://127.0.0.1:${second}`], queue: broker.queueName(), reconnect })
  await t.rejects(async () => await app.ready(), { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', message: `could not connect to amqp://user:***@127.0.0.1:${first}, amqp://127.0.0.1:${second}: ` })
})

test('a connection that is lost is opened again to the next host', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxies = [await startProxy(t, broker.url), await startProxy(t, broker.url)]
  const { app, notifications } = await startApp(t, { amqpUrl: proxies.map(proxy => proxy.through(broker.url)), queue, reconnect })
  const client = await connectClient(t, notifications('123'))
  const accepted = () => proxies.map(proxy => proxy.accepted)
  const [before] = [accepted()]
  t.equal(before[0]! + before[1]!, 2, 'a consumer and a publisher')
  for (const proxy of proxies) proxy.reset()
  await eventually(() => accepted()[0]! + accepted()[1]! === 4, 'both connect again')
  t.same(accepted(), [2, 2], 'each to the other host')
  await broker.publish(queue, { userId: '123', content: 'hi' })
  t.same(await client.received(1), ['hi'])
  await eventually(() => app.notifier.health().ready, 'ready')
})

test('over many starts, the first host is a random one', async t => {
  const broker = await useBroker(t)
  const proxies = [await startProxy(t, broker.url), await startProxy(t, broker.url)]
  const amqpUrl = proxies.map(proxy => proxy.through(broker.url))
  // That 40 connections all begin with one host happens once in 10^12 times.
  for (let times = 0; times < 20; times++) {
    const { app } = await startApp(t, { amqpUrl, queue: broker.queueName() })
    await app.close()
  }
  for (const { accepted } of proxies) t.ok(accepted > 0)
})

test('each connection has a name in the management page: its purpose, the queue, the host and the process', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const { hostname: host, port } = new URL(broker.url)
  const names: string[] = []
  const recorder = createServer(socket => {
    const upstream = connect(Number(port), host)
    socket.on('data', chunk => names.push(...chunk.toString('latin1').match(/(?<=connection_nameS.{4})[^]*?process \d+/g) ?? []))
    socket.on('error', () => {}).pipe(upstream).on('error', () => {}).pipe(socket)
    socket.on('close', () => upstream.destroy())
  })
  await once(recorder.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => recorder.close())
  const url = new URL(broker.url)
  url.port = String((recorder.address() as AddressInfo).port)
  for (const [amqp, name] of [[{}, 'fastify-notification'], [{ name: 'shop' }, 'shop']] as const) {
    const { app } = await startApp(t, { amqpUrl: url.href, queue, cluster: true, amqp })
    await app.close()
    t.same(names.splice(0).toSorted(), ['consumer', 'publisher', 'relay'].map(purpose => `${name} ${purpose} of ${queue} on ${hostname()}, process ${process.pid}`))
  }
})

test('amqp.credentials is asked before each connection', async t => {
  const broker = await useBroker(t)
  const proxy = await startProxy(t, broker.url)
  const url = new URL(proxy.through(broker.url))
  const { username, password } = url
  let asked = 0
  const credentials: AmqpCredentials = async () => {
    asked++
    return { username, password: asked === 3 ? 'expired' : password }
  }
  url.username = url.password = ''
  const { app, log } = await startApp(t, { amqpUrl: url.href, queue: broker.queueName(), amqp: { credentials }, reconnect })
  t.equal(asked, 2, 'for the consumer and the publisher')
  proxy.reset('consumer')
  await eventually(() => asked === 4 && app.notifier.health().ready, 'the third was refused, and asked again')
  t.match(await log.line('broker consumer cannot connect'), { err: { message: /ACCESS[-_]REFUSED/ } })
})

for (const [what, credentials, message] of [
  ['throws', () => { throw new RangeError('hush') }, 'amqp.credentials threw RangeError'],
  ['rejects', async () => { throw Object.assign(new Error('hush'), { code: 'EHUSH' }) }, 'amqp.credentials threw Error EHUSH'],
  ['returns nothing', () => undefined as never, 'amqp.credentials returned no { username, password } of strings'],
  ['returns a number', () => ({ username: 'hush', password: 7 as never }), 'amqp.credentials returned no { username, password } of strings'],
  ['never answers', () => new Promise(() => {}), 'amqp.credentials took longer than connectTimeout']
] satisfies Array<[string, AmqpCredentials, string]>) {
  test(`amqp.credentials that ${what} fails the start, and no secret is in the error or in the log`, async t => {
    const broker = await useBroker(t)
    const { app, log } = createApp(t)
    const url = new URL(broker.url)
    url.username = url.password = ''
    await app.register(notificationPlugin, { amqpUrl: url.href, queue: broker.queueName(), amqp: { credentials }, reconnect, connectTimeout: 50 })
    const error = await app.ready().then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', message, cause: { code: 'FST_NOTIFICATION_CREDENTIALS_FAILED' } })
    t.notMatch(JSON.stringify(log.lines) + String(error?.stack), /[^E]hush/)
  })
}
