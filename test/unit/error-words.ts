// What an error says to whoever has made the mistake: what is wrong, where, what was found, and what to do.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { errors } from '../../src/errors.js'
import { startApp, type TestApp } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'

const rule = "a string of 1 to 255 bytes of UTF-8 without control characters, and not '__proto__'"
const number = 'a number: turn it into a string, by String()'

test('calls with a numeric, empty or missing id say what was given, and what to do with a number', async t => {
  const { app: { notifier } } = await startApp(t, {})
  const one = 1 as unknown as string
  for (const [call, message] of [
    [() => notifier.notify(one, 'hi'), `userId must be ${rule}; got ${number}`],
    [() => notifier.notify(undefined as unknown as string, 'hi'), `userId must be ${rule}; got undefined`],
    [() => notifier.notify('', 'hi'), `userId must be ${rule}; got an empty string`],
    [() => notifier.notifyMany([one], 'hi'), `userId must be ${rule}; got ${number}`],
    [() => notifier.notify('123', 'hi', { id: one }), `id must be ${rule}; got ${number}`],
    [() => notifier.notifyGroup(one, 'hi'), `group must be ${rule}; got ${number}`],
    [async () => notifier.disconnect(one), `userId must be ${rule}; got ${number}`],
    [async () => notifier.disconnect('123', { sessionId: one }), `sessionId must be ${rule}, or left out to disconnect all devices of the user; got ${number}`]
  ] as const) await t.rejects(call() as Promise<unknown>, { message })
})

test('a content without a JSON form is told why it has none', async t => {
  const { app: { notifier } } = await startApp(t, {})
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  for (const [content, found] of [
    [undefined, 'undefined: for no content give null'],
    [() => {}, 'a function'],
    [1n, 'a bigint: turn it into a string, by String()'],
    [{ total: 1n }, 'an object with a bigint: turn it into a string, by String()'],
    [cycle, 'an object that contains itself'],
    [{ toJSON () { throw new Error('hush') } }, 'an object whose toJSON() or a getter throws']
  ] as const) await t.rejects(notifier.notify('123', content), { code: 'FST_NOTIFICATION_INVALID_CONTENT', message: `content must be a string or a value with a JSON form; got ${found}` })
})

/** The answer to an upgrade, and the first line that the application logs about it. */
async function refused ({ at, log }: TestApp, path: string, headers: Record<string, string> = {}) {
  const { statusCode, body } = await refusal(at(path), { headers })
  const { code, message } = JSON.parse(body)
  if (code !== undefined) await log.line(message)
  return { statusCode, code, message }
}

test('a URL without a user, or with two, is told what its query must have', async t => {
  const started = await startApp(t, {})
  t.match(await refused(started, '/notification'), { statusCode: 400, message: 'userId must be in the query of the URL, as in ?userId=123, where there is no option authenticate; got none' })
  t.match(await refused(started, '/notification?userId=1&userId=2'), { statusCode: 400, message: 'userId must be given once; got it 2 times' })
  t.match(await refused(started, '/notification?userId='), { statusCode: 400, message: `userId must be ${rule}; got an empty string` })
})

test('a refused origin is told which it was, what would be allowed, and the option', async t => {
  const origin = 'https://elsewhere.example'
  const byDefault = await startApp(t, {})
  const host = byDefault.at('').slice('ws://'.length)
  const refusal = { statusCode: 403, code: 'FST_NOTIFICATION_FORBIDDEN_ORIGIN' }
  t.match(await refused(byDefault, '/notification?userId=1', { origin }), { ...refusal, message: `pages of the origin '${origin}' may not connect, only pages of the host ${host}: see the option allowedOrigins` })
  t.match(await byDefault.log.line('origin refused'), { origin, allowed: [`pages of the host ${host}`], option: 'allowedOrigins' })
  const listed = await startApp(t, { allowedOrigins: ['https://shop.example'] })
  t.match(await refused(listed, '/notification?userId=1', { origin }), { ...refusal, message: `pages of the origin '${origin}' may not connect, only those that are listed: see the option allowedOrigins` }, 'strangers are not told the list')
  t.match(await listed.log.line('origin refused'), { origin, allowed: ['https://shop.example'] })
  const hosts = await startApp(t, { allowedHosts: ['inner.example'] })
  t.notMatch(await refused(hosts, '/notification?userId=1', { origin }), { message: 'inner' }, 'nor the hosts')
  t.match(await hosts.log.line('origin refused'), { allowed: ['pages of the host inner.example'] })
})

test('an authenticate that returns something wrong is told what is wrong with it', async t => {
  let identity: unknown
  const started = await startApp(t, { authenticate: () => identity as string })
  const seconds = Math.floor(Date.now() / 1_000) + 60
  for (const [given, what] of [
    [123, `userId: it must be ${rule}; got ${number}`],
    [{ userId: 123 }, `userId: it must be ${rule}; got ${number}`],
    [{ user: '123' }, `userId: it must be ${rule}; got undefined`],
    [{ userId: '123', expiresAt: seconds }, 'expiresAt: it is in seconds, and must be in milliseconds; multiply by 1000'],
    [{ userId: '123', expiresAt: '2030' }, 'expiresAt: it must be a Date, or milliseconds since 1970; got a string of 4 bytes'],
    [{ userId: '123', expiresAt: new Date(NaN) }, 'expiresAt: it must be a Date, or milliseconds since 1970; got an invalid date'],
    [{ userId: '123', groups: ['a', 7] }, `groups: it must be an array of at most 100 names (limits.groupsPerConnection), each ${rule}; got an array of 2 with ${number}`],
    [{ userId: '123', sessionId: 7 }, `sessionId: it must be ${rule}; got ${number}`]
  ] as const) {
    identity = given
    t.match(await refused(started, '/notification'), { statusCode: 500, message: `authenticate returned an invalid ${what}` })
  }
  for (const [given, cause] of [[null, 'authenticate returned no user'], [{ userId: '123', expiresAt: 1 }, 'authenticate returned an expiresAt that is over']] as const) {
    identity = given
    started.log.lines.length = 0
    t.match(await refused(started, '/notification'), { statusCode: 401, message: 'not authenticated' }, 'a stranger is told no more')
    t.match(await started.log.line('not authenticated'), { err: { cause } })
  }
})

test('an upgrade to a path that has no WebSocket is told where there is one', async t => {
  const started = await startApp(t, { path: '/inbox' }, app => { app.get('/before', async () => 'hello') })
  t.match(await refused(started, '/notification?userId=1&token=hush'), { statusCode: 404 })
  const line = await started.log.line('no WebSocket at this path')
  t.match(line, { path: '/notification', route: '/inbox', option: 'path' })
  t.notMatch(JSON.stringify(line), 'hush')
  await connectClient(t, started.at('/inbox?userId=1'))
  for (let n = 0; n < 20; n++) await refused(started, `/guess-${n}`)
  t.equal(started.log.lines.filter(({ msg }) => msg === 'no WebSocket at this path').length, 10, 'nobody can flood the log')
  t.equal(new errors.NoWebSocket('/orders', '/inbox').message, "the route '/orders' has no WebSocket: that of fastify-notification is at '/inbox'")
})

test('each limit that an upgrade meets is named in its answer', async t => {
  const perUser = await startApp(t, { limits: { connectionsPerUser: 1 } })
  await connectClient(t, perUser.notifications('123'))
  t.match(await refused(perUser, '/notification?userId=123'), { statusCode: 429, message: 'too many connections of this user: limits.connectionsPerUser is reached' })
  const perMinute = await startApp(t, { limits: { connectsPerUser: 1 } })
  await connectClient(t, perMinute.notifications('123'))
  t.match(await refused(perMinute, '/notification?userId=123'), { statusCode: 429, message: 'too many connections of this user: limits.connectsPerUser is reached' })
  const inAll = await startApp(t, { limits: { connections: 1 } })
  await connectClient(t, inAll.notifications('123'))
  t.match(await refused(inAll, '/notification?userId=456'), { statusCode: 503, message: 'too many connections: limits.connections is reached' })
})

test('@fastify/websocket registered in the same turn after the plugin ends the process with words that help', async t => {
  const program = `
    import Fastify from 'fastify'
    import websocket from '@fastify/websocket'
    import plugin from './src/index.ts'
    const app = Fastify()
    app.register(plugin, {})
    app.register(websocket)
    await app.ready()`
  // Not in the coverage of the tests, which another loader compiles, to other lines.
  const args = ['-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE', process.execPath, '--import', 'tsx', '--input-type=module', '-e', program]
  const child = spawn('env', args, { cwd: fileURLToPath(new URL('../..', import.meta.url)), stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  child.stderr.setEncoding('utf8').on('data', data => { text += data })
  const [code] = await once(child, 'close')
  t.not(code, 0)
  t.match(text, 'register @fastify/websocket before fastify-notification, or leave it to the plugin')
})
