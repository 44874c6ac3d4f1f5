import { test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { parseOptions } from '../../src/options/parse.js'
import { createApp } from '../support/app.js'

const amqpUrl = 'amqp://localhost'
const queue = 'hello'

const wrong: Array<[options: object, name: string, says: RegExp]> = [
  [{ amqpUrl: 'http://localhost', queue }, 'amqpUrl', /amqp:\/\/ or amqps:\/\/ URL; got http:\/\/localhost/],
  [{ amqpUrl: 'localhost', queue }, 'amqpUrl', /no URL/],
  [{ amqpUrl: 'amqp://', queue }, 'amqpUrl', /no URL of a host/],
  [{ amqpUrl: 'amqp://user:%zz@localhost', queue }, 'amqpUrl', /got amqp:\/\/user:\*\*\*@localhost/],
  [{ amqpUrl: 5672, queue }, 'amqpUrl', /got number/],
  [{ amqpUrl: null, queue }, 'amqpUrl', /got null/],
  [{ amqpUrl: [], queue }, 'amqpUrl', /an array of 1 to 20; got an array of 0/],
  [{ amqpUrl: [amqpUrl, 'http://user:hush@localhost'], queue }, 'amqpUrl.1', /amqps:\/\/ URL; got http:\/\/user:\*\*\*@localhost/],
  [{ amqpUrl: [amqpUrl, 7], queue }, 'amqpUrl.1', /got number/],
  [{ amqpUrl: [`${amqpUrl}?heartbeat=0`], queue }, 'amqpUrl.0', /heartbeat/],
  [{ amqpUrl, queue, amqp: { tls: {} } }, 'amqp.tls', /left out where amqpUrl is not amqps:/],
  [{ amqpUrl: ['amqps://localhost', amqpUrl], queue, amqp: { tls: {} } }, 'amqp.tls', /left out where amqpUrl is not amqps:/],
  [{ amqpUrl: 'amqps://localhost', queue, amqp: { tls: 'hush' } }, 'amqp.tls', /an object of options of node:tls: ca, cert.*; got a string/],
  [{ amqpUrl: 'amqps://localhost', queue, amqp: { tls: { host: 'hush' } } }, 'amqp.tls', /got another member/],
  [{ amqpUrl, queue, amqp: { credentials: 'hush' } }, 'amqp.credentials', /or 'external'; got a string/],
  [{ amqpUrl: 'amqps://localhost', queue, amqp: { credentials: 'external' } }, 'amqp.credentials', /a function, where amqp.tls has no client certificate/],
  [{ amqpUrl, queue, amqp: { name: '' } }, 'amqp.name', /a name of 1 to 200 characters/],
  [{ amqpUrl, queue, amqp: { user: 'hush' } }, 'amqp.user', /no such option. Options are tls, credentials, name/],
  [{ amqpUrl }, 'queue', /given together with amqpUrl/],
  [{ queue }, 'queue', /left out where there is no amqpUrl; got 'hello'/],
  [{ amqpUrl, queue: '' }, 'queue', /1 to 255 bytes, or an array of 1 to 100 different ones.*; got ''/],
  [{ amqpUrl, queue: [] }, 'queue', /an array of 1 to 100/],
  [{ amqpUrl, queue: ['a', 'a'] }, 'queue', /different ones/],
  [{ amqpUrl, queue: ['a', 'ä'.repeat(128)] }, 'queue', /1 to 255 bytes/],
  [{ amqpUrl, queue: ['a', { name: 'a' }] }, 'queue', /different ones/],
  [{ amqpUrl, queue: 7 }, 'queue', /got 7/],
  [{ amqpUrl, queue: null }, 'queue', /got null/],
  [{ amqpUrl, queue: {} }, 'queue.name', /1 to 255 bytes; got undefined/],
  [{ amqpUrl, queue: ['a', { name: 'b', bindings: [{ exchange: '' }] }] }, 'queue.1.bindings.0.exchange', /and not the default one/],
  [{ amqpUrl, queue: { name: 'a', bindings: [{ exchange: 'x', routingkey: '#' }] } }, 'queue.bindings.0.routingkey', /left out: there is no such member; got a string/],
  [{ amqpUrl, queue: { name: 'a', bindings: [{ exchange: 'x', routingKey: 'ä'.repeat(128) }] } }, 'queue.bindings.0.routingKey', /at most 255 bytes; got 256 bytes/],
  [{ amqpUrl, queue: { name: 'a', bindings: 'x' } }, 'queue.bindings', /an array of up to 1000 bindings; got 'x'/],
  [{ amqpUrl, queue: { name: 'a', arguments: { 'x-max-length': {} } } }, 'queue.arguments.x-max-length', /a string, a number or a boolean; got an object/],
  [{ amqpUrl, queue: { name: 'a', arguments: { 'x-queue-type': 'stream' } } }, 'queue.arguments.x-queue-type', /a consumer of a stream gets only what comes later; got 'stream'/],
  [{ amqpUrl, queue: [{ name: 'a' }, { name: 'a.dead' }] }, 'deadLetterQueue', /given where '<queue>.dead' is a queue to consume/],
  [{ amqpUrl, queue: ['a', 'a.dead'] }, 'deadLetterQueue', /given where '<queue>.dead' is a queue to consume/],
  [{ cluster: true }, 'cluster', /false where there is no amqpUrl/],
  [{ amqpUrl, queue, cluster: true, offline: 'hold' }, 'hold.redis', /given with cluster: true/],
  [{ amqpUrl, queue, cluster: 1 }, 'cluster', /true or false/],
  [{ amqpUrl, queue, relay: { receiptTimeout: 1 } }, 'relay.receiptTimeout', /from 100/],
  [{ amqpUrl, queue, relay: { user: '' } }, 'relay.user', /1 to 255/],
  [{ amqpUrl: 'amqps://localhost', queue, cluster: true, amqp: { credentials: 'external', tls: { cert: 'x', key: 'x' } } }, 'relay.user', /client certificate/],
  [{ amqpUrl, queue: 'x'.repeat(256) }, 'queue', /1 to 255 bytes/],
  [{ amqpUrl, queue: '€'.repeat(86) }, 'queue', /258 bytes/],
  [{ amqpUrl, queue: 'x'.repeat(251) }, 'deadLetterQueue', /250 bytes/],
  [{ amqpUrl, queue, deadLetterQueue: queue }, 'deadLetterQueue', /another queue/],
  [{ amqpUrl, queue, decode: 'json' }, 'decode', /a function of the message; got 'json'/],
  [{ limits: { decodeTimeout: 1 } }, 'limits.decodeTimeout', /from 10 to 600000/],
  [{ path: 'notification' }, 'path', /begins with '\/', without a query; got 'notification'/],
  [{ path: '/notification?userId=1' }, 'path', /without a query/],
  [{ path: '/notification#top' }, 'path', /without a query/],
  [{ amqpUrl, queue, prefetch: 0 }, 'prefetch', /from 1 to 65535; got 0/],
  [{ amqpUrl, queue, prefetch: 65_536 }, 'prefetch', /65535/],
  [{ amqpUrl, queue, prefetch: 1.5 }, 'prefetch', /whole number/],
  [{ amqpUrl, queue, prefetch: '10' }, 'prefetch', /got '10'/],
  [{ amqpUrl, queue, offline: 'keep' }, 'offline', /'drop', 'dead-letter' or 'hold'; got 'keep'/],
  [{ offline: 'dead-letter' }, 'offline', /'drop' or 'hold' where there is no amqpUrl/],
  [{ offline: 'hold', hold: { redis: 'http://user:secret@localhost' } }, 'hold.redis', /a redis:.* URL, or a client of ioredis; got http:..user:\*\*\*@localhost/],
  [{ hold: { redis: {} as never } }, 'hold.redis', /got an object/],
  [{ hold: { redis: 'redis://user:secret@localhost' } }, 'hold.redis', /left out where offline isn't 'hold'.*; got redis:..user:\*\*\*@localhost/],
  [{ hold: { keyPrefix: '{a}' } }, 'hold.keyPrefix', /without braces; got '{a}'/],
  [{ settle: 'seen' as never }, 'settle', /'sent' or 'acknowledged'; got 'seen'/],
  [{ hold: { maxAge: 1 } }, 'hold.maxAge', /from 1000 to/],
  [{ amqpUrl, queue, startup: 'later' }, 'startup', /'fail' or 'background'/],
  [{ connectTimeout: 1 }, 'connectTimeout', /from 10 to 60000; got 1/],
  [{ publishTimeout: -1 }, 'publishTimeout', /milliseconds/],
  [{ drainTimeout: '5s' }, 'drainTimeout', /milliseconds/],
  [{ limits: { messageBytes: 0 } }, 'limits.messageBytes', /a number of bytes/],
  [{ limits: { bytes: 1 } }, 'limits.bytes', /no such option/],
  [{ limits: 7 }, 'limits', /an object/],
  [{ reconnect: { initialDelay: 0 } }, 'reconnect.initialDelay', /from 1 to/],
  [{ reconnect: { initialDelay: 500, maxDelay: 100 } }, 'reconnect.maxDelay', /at least reconnect.initialDelay/],
  [{ authenticate: 'yes' }, 'authenticate', /a function of the request, or false; got 'yes'/],
  [{ allowedOrigins: true }, 'allowedOrigins', /an array of strings/],
  [{ allowedOrigins: ['example.com'] }, 'allowedOrigins.0', /as in 'https:\/\/example.com'/],
  [{ allowedOrigins: ['https://example.com', 'https://example.com/'] }, 'allowedOrigins.1', /an origin/],
  [{ allowedOrigins: [7] }, 'allowedOrigins.0', /an origin/],
  [{ allowedOrigins: ['file:///'] }, 'allowedOrigins.0', /'null' or 'file:\/\/'/],
  [{ heartbeat: { interval: 1_000, timeout: 1_000 } }, 'heartbeat.timeout', /less than heartbeat.interval/],
  [{ limits: { frameBytes: 0 } }, 'limits.frameBytes', /from 1024/],
  [{ limits: { connectionsPerUser: 0 } }, 'limits.connectionsPerUser', /from 1/],
  [{ metrics: true }, 'metrics', /a Registry of prom-client; got true/],
  [{ metrics: { registerMetric: 1 } }, 'metrics', /got an object/],
  [{ metrics: null }, 'metrics', /got null/],
  [{ tracing: 'yes' }, 'tracing', /true or false/],
  [{ journal: -1 }, 'journal', /from 0 to 1000000/],
  [{ amqpURL: amqpUrl, queue }, 'amqpURL', /no such option. Options are amqpUrl, queue/]
]

for (const [options, name, says] of wrong) {
  test(`a wrong option fails register: ${JSON.stringify(options).slice(0, 60)}`, async t => {
    const { app } = createApp(t)
    const given = structuredClone(options)
    const error = await app.register(notificationPlugin, options as NotificationPluginOptions).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FST_NOTIFICATION_INVALID_OPTION', name: 'FastifyError', message: new RegExp(`^option '${name}' must be `) })
    t.match(error?.message, says)
    t.same(options, given, "the caller's options are left as they were")
  })
}

test('credentials are in amqpUrl or in amqp.credentials, and not in both', async t => {
  const credentials = () => ({ username: 'a', password: 'b' })
  t.throws(() => parseOptions({ amqpUrl: [amqpUrl, 'amqp://user:hush@localhost'], queue, amqp: { credentials } }), {
    code: 'FST_NOTIFICATION_INVALID_OPTION', message: "option 'amqp.credentials' must be left out where amqpUrl has a user; got a function"
  })
  t.match(parseOptions({ amqpUrl, queue, amqp: { credentials } }), { amqp: { credentials, name: 'fastify-notification' } })
})

test('a password is never part of an error', async t => {
  for (const amqpUrl of ['http://user:hush@localhost', 'amqp://user:hush@', 'user:hush@localhost', 'amqp://user:hush@[', '://hush']) {
    const { app } = createApp(t)
    const error = await app.register(notificationPlugin, { amqpUrl, queue }).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FST_NOTIFICATION_INVALID_OPTION' }, amqpUrl)
    t.notMatch(error?.message, 'hush')
  }
  for (const options of [{ url: 'amqp://user:hush@localhost' }, { password: 'hush' }, { amqpUrl, queue: 7, path: 'amqp://user:hush@x' }, { path: 'amqp://user:hush@x' }]) {
    const { app } = createApp(t)
    const error = await app.register(notificationPlugin, options as object).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'FST_NOTIFICATION_INVALID_OPTION' }, JSON.stringify(options))
    t.notMatch(error?.message, 'hush')
  }
})

test('an option that is undefined is as good as absent, and frozen options are taken', async t => {
  const { app } = createApp(t)
  const options: NotificationPluginOptions = Object.freeze({ path: '/x', limits: Object.freeze({}) })
  await app.register(notificationPlugin, { ...options, amqpUrl: undefined, queue: undefined })
  t.ok(app.hasRoute({ method: 'GET', url: '/x' }))
})

test('the option path may have parameters, the last of them optional', async t => {
  for (const path of ['/', '/a/:tenant/b', '/a/:tenant?', '/:tenant?', '/:a/:b?', '/*']) {
    const { app } = createApp(t)
    await app.register(notificationPlugin, { path })
    await app.ready()
    t.ok(app.hasRoute({ method: 'GET', url: path.replace(/\/:\w+\?$/, '') }) || app.hasRoute({ method: 'GET', url: path }), path)
  }
})

test('what an option holds is the object that was given, groups and what they hold of ours excepted', t => {
  const redis = { status: 'wait', defineCommand () {}, on () {}, off () {}, async connect () {} }
  const metrics = { registerMetric () {}, getSingleMetric () {}, removeSingleMetric () {} }
  const allowedOrigins = ['https://example.com']
  const limits = Object.assign(Object.create(null) as object, { connections: 7 })
  const options = parseOptions({ offline: 'hold', hold: { redis }, metrics, allowedOrigins, limits })
  t.equal(options.hold.redis, redis)
  t.equal(options.metrics, metrics)
  t.equal(options.allowedOrigins, allowedOrigins)
  t.match(options.limits, { connections: 7, connectionsPerUser: 50 })
  t.same(Object.keys(limits), ['connections'], 'a group of whatever kind is left as it was')
  t.end()
})
