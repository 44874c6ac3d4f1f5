import { hostname } from 'node:os'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import type { PrivateRabbitMQ, TlsListener } from '../../support/private-rabbitmq.js'
import { createApp, startApp } from '../support/app.js'
import { connectTo } from '../support/broker.js'
import { createAuthority, type Authority } from '../../support/certificates.js'
import { connectClient } from '../support/client.js'
import { startBroker } from '../support/private-broker.js'

const reconnect = { initialDelay: 1, maxDelay: 10 }

async function startTls (t: Test, demandsCertificate = false): Promise<{ node: PrivateRabbitMQ, authority: Authority, url (login?: string, host?: string): string }> {
  const authority = createAuthority(t.testdir())
  const tls: TlsListener = { ca: authority.ca, ...authority.sign('broker', ['DNS:broker.internal', 'IP:127.0.0.1']), demandsCertificate }
  const config = demandsCertificate ? { 'auth_mechanisms.1': 'EXTERNAL', 'auth_mechanisms.2': 'PLAIN', ssl_cert_login_from: 'common_name' } : {}
  const node = await startBroker(t, { tls, config, plugins: demandsCertificate ? ['rabbitmq_auth_mechanism_ssl'] : [] })
  return { node, authority, url: (login = 'guest:guest@', host = '127.0.0.1') => `amqps://${login}${host}:${node.tlsPort}` }
}

/** What an application does not start with. */
async function startError (t: Test, options: NotificationPluginOptions): Promise<{ error: Error, logged: string }> {
  const { app, log } = createApp(t)
  await app.register(notificationPlugin, { queue: 'hello', reconnect, ...options })
  const error = await app.ready().then(() => new Error('started'), (error: Error) => error)
  return { error, logged: JSON.stringify(log.lines) }
}

async function assertDelivers (t: Test, node: PrivateRabbitMQ, options: NotificationPluginOptions): Promise<void> {
  const { app, notifications } = await startApp(t, { queue: 'hello', reconnect, ...options })
  const client = await connectClient(t, notifications('123'))
  const broker = await connectTo(t, node.url)
  await broker.publish('hello', { userId: '123', content: 'hi' })
  t.same(await client.received(1), ['hi'])
  await app.close()
}

test('a broker whose certificate is of a private authority is trusted if amqp.tls names that authority', { timeout: 400_000 }, async t => {
  const { node, authority, url } = await startTls(t)
  await assertDelivers(t, node, { amqpUrl: url(), amqp: { tls: { ca: authority.ca } } })
  const { app } = await startApp(t, { amqpUrl: url(), queue: 'hello', amqp: { name: 'shop', tls: { ca: authority.ca } } })
  t.match(await node.ctl('list_connections', 'client_properties'), `shop consumer of hello on ${hostname()}, process ${process.pid}`)
  await app.close()
  t.match((await startError(t, { amqpUrl: url() })).error, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', cause: { code: 'SELF_SIGNED_CERT_IN_CHAIN' } })

  // The certificate is not for this name.
  const wrongName = await startError(t, { amqpUrl: url('guest:guest@', 'localhost'), amqp: { tls: { ca: authority.ca } } })
  t.match(wrongName.error, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE', cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } })
  await assertDelivers(t, node, { amqpUrl: url('guest:guest@', 'localhost'), amqp: { tls: { ca: authority.ca, servername: 'broker.internal' } } })
})

test('a broker that demands a client certificate gets it, and takes its name as the user', { timeout: 400_000 }, async t => {
  const { node, authority, url } = await startTls(t, true)
  await node.ctl('add_user', 'notifier', 'not used')
  await node.ctl('set_permissions', 'notifier', '.*', '.*', '.*')
  const { cert, key } = authority.sign('notifier')
  const { ca } = authority
  await assertDelivers(t, node, { amqpUrl: url(''), amqp: { tls: { ca, cert, key }, credentials: 'external' } })
  await assertDelivers(t, node, { amqpUrl: url(), amqp: { tls: { ca, cert, key: authority.encrypt(key, 'hush'), passphrase: 'hush' } } })

  t.match((await startError(t, { amqpUrl: url(), amqp: { tls: { ca } } })).error, { code: 'FST_NOTIFICATION_BROKER_UNREACHABLE' }, 'without a certificate')
  const stranger = authority.sign('stranger')
  const refused = await startError(t, { amqpUrl: url(''), amqp: { tls: { ca, ...stranger }, credentials: 'external' } })
  t.match(refused.error, { code: 'FST_NOTIFICATION_BROKER_REFUSED', message: /ACCESS[-_]REFUSED/ }, 'no such user')
  t.notMatch(refused.logged, /PRIVATE KEY|hush/)
})
