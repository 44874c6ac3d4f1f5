import type { IncomingMessage } from 'node:http'
import { test } from 'tap'
import { WebSocket } from 'ws'
import type { WebSocketLike } from '../../src/client/index.js'
import { isFinal, retryDelay } from '../../src/client/retry.js'
import { closeCodes } from '../../src/close-codes.js'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

for (const code of [1000, 1001, undefined, 1011, 1012, 1013, 3000, 4000, 4001, 4499]) {
  test(`after ${code ?? 'a close without a code'} the client connects again`, async t => {
    const server = await startNotificationServer(t)
    const client = createClient(t, server.url)
    await next(client, 'open')
    const closed = next(client, 'close')
    ;(await server.peer()).socket.close(code)
    t.match(await closed, { code: code ?? 1005, willReconnect: true, delay: Number })
    await next(client, 'open')
  })
}

for (const code of [1002, 1003, 1007, 1008, 1009, 4500, 4501, 4502, 4503, 4999]) {
  test(`after ${code} the client does not connect again`, async t => {
    const server = await startNotificationServer(t)
    const client = createClient(t, server.url)
    const events = record(client)
    await next(client, 'open')
    ;(await server.peer()).socket.close(code, 'why')
    t.match(await next(client, 'ended'), { code, reason: 'why' })
    t.equal(client.state, 'closed')
    t.same(events, ['open c1', `close ${code} why`, `ended ${code}`])
  })
}

for (const code of [4500, 4501]) {
  test(`fault 71: after ${code} a function is asked for other credentials once more, and the client ends if those are not accepted either`, async t => {
    const server = await startNotificationServer(t)
    let tickets = 0
    const client = createClient(t, () => `${server.url}/?ticket=${++tickets}`)
    const events = record(client)
    ;(await server.peer()).socket.close(code)
    const second = await server.peer()
    t.equal(second.request.url, '/?ticket=2')
    second.socket.close(4501)
    await next(client, 'ended')
    t.same(events, ['open c1', `close ${code}, will reconnect`, 'open c1', 'close 4501', 'ended 4501'])
    t.equal(tickets, 2)

    client.connect()
    ;(await server.peer()).socket.close(4501)
    t.equal((await server.peer()).request.url, '/?ticket=4', 'connect() begins anew')
  })
}

test('fault 71: a function for the subprotocols is asked again too, and after each connection that lasted', async t => {
  const server = await startNotificationServer(t)
  let tokens = 0
  const client = createClient(t, server.url, { protocols: () => [`token-${++tokens}`], reconnect: { initialDelay: 1, maxDelay: 1, stableAfter: 0 } })
  for (const n of [1, 2, 3, 4]) {
    const { request, socket } = await server.peer()
    t.match(request.headers['sec-websocket-protocol'], new RegExp(`token-${n}$`))
    await next(client, 'open')
    socket.close(4500)
  }
})

test('fault 71: credentials that were accepted may expire soon and often', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, () => server.url)
  for (let times = 0; times < 3; times++) {
    const { socket } = await server.peer()
    await next(client, 'open')
    socket.close(4500)
    t.match(await next(client, 'close'), { willReconnect: true })
  }
})

test('fault 71: a function is not asked again after 4502 and 4503', async t => {
  const server = await startNotificationServer(t)
  for (const code of [4502, 4503]) {
    const client = createClient(t, () => server.url)
    ;(await server.peer()).socket.close(code)
    t.match(await next(client, 'ended'), { code })
  }
})

test("the client takes the plugin's own close codes for what their table says", async t => {
  for (const name of ['goingAway', 'slowConsumer', 'noPong'] as const) t.notOk(isFinal(closeCodes[name]), name)
  for (const name of ['unsupportedData', 'policyViolation', 'messageTooBig', 'expired', 'unauthenticated', 'disconnected', 'forbidden'] as const) t.ok(isFinal(closeCodes[name]), name)
})

test('the client connects again after a cut connection, a refusal, and a server that was not there', async t => {
  let refusals = 2
  const refuse = ({ url }: IncomingMessage) => url === '/refused' && refusals-- > 0 ? 503 : undefined
  const server = await startNotificationServer(t, { refuse })
  const client = createClient(t, server.url)
  const events = record(client)
  await next(client, 'open')
  ;(await server.peer()).socket.terminate()
  await next(client, 'open')
  server.close()
  await next(client, 'close')
  t.match(await next(client, 'close'), { code: 1006, reason: /ECONNREFUSED/ })
  await startNotificationServer(t, { port: Number(new URL(server.url).port) })
  await next(client, 'open')
  t.equal(events.filter(event => event.startsWith('open')).length, 3)
  t.notOk(events.some(event => event.startsWith('error')))

  const refused = createClient(t, (await startNotificationServer(t, { refuse })).url + '/refused')
  const refusedEvents = record(refused)
  await next(refused, 'open')
  t.same(refusedEvents, [
    ...Array(2).fill('close 1006 Unexpected server response: 503, will reconnect'), 'open c1'
  ])
})

test('a client gives up a server that says nothing, and tries again', async t => {
  const silent = await startNotificationServer(t, { greeting: null })
  const client = createClient(t, silent.url, { connectTimeout: 50 })
  t.match(await next(client, 'close'), { code: 1006, reason: 'no welcome within 50 ms', willReconnect: true })
  await (await silent.peer()).closed
  await silent.peer()

  const patient = createClient(t, (await startNotificationServer(t)).url, { connectTimeout: Infinity })
  const events = record(patient)
  await next(patient, 'open')
  t.same(events, ['open c1'])
})

test('a client gives up a URL function that never resolves, and tries again', async t => {
  const server = await startNotificationServer(t)
  const answers: Array<Promise<string> | string> = [new Promise(() => {}), server.url]
  const client = createClient(t, () => answers.shift()!, { connectTimeout: 1_000 })
  const events = record(client)
  await next(client, 'open')
  t.same(events, ['close 1006 no welcome within 1000 ms, will reconnect', 'open c1'])
})

test("an `error` without a `close` is an end, as with Node's own WebSocket", async t => {
  let attempts = 0
  class Failing implements WebSocketLike {
    readonly protocol = ''
    onopen = null
    onmessage = null
    onclose = null
    onerror: ((event: object) => unknown) | null = null
    constructor () {
      attempts++
      setImmediate(() => this.onerror?.({ message: 'Received network error or non-101 status code.' }))
    }

    send () {}
    close () {}
  }
  const client = createClient(t, 'ws://localhost', { WebSocket: Failing })
  await next(client, 'close')
  t.match(await next(client, 'close'), { code: 1006, reason: /non-101/, willReconnect: true })
  t.equal(attempts, 2)
})

test("the client's waits are random parts of limits that double, up to a highest", async t => {
  const limits = (attempts: number) => Array.from({ length: 1_000 }, () => retryDelay(attempts, 1_000, 30_000))
  for (const [attempts, limit] of [[0, 1_000], [1, 2_000], [4, 16_000], [5, 30_000], [2_000, 30_000]] as const) {
    const delays = limits(attempts)
    t.ok(Math.max(...delays) <= limit && Math.max(...delays) > limit * 0.9 && Math.min(...delays) < limit * 0.1, `${attempts} attempts`)
  }
})

test("the client's waits are short again after a connection that lasted, not after one that did not", async t => {
  t.intercept(Math, 'random', { value: () => 1 })
  const server = await startNotificationServer(t)
  for (const [stableAfter, expected] of [[60_000, [1, 2, 4]], [0, [1, 1, 1]]] as const) {
    const client = createClient(t, server.url, { reconnect: { initialDelay: 1, maxDelay: 1_000, stableAfter } })
    const delays: unknown[] = []
    client.addEventListener('close', ({ delay, willReconnect }) => { if (willReconnect) delays.push(delay) })
    while (delays.length < expected.length) {
      await next(client, 'open')
      const closed = next(client, 'close')
      ;(await server.peer()).socket.close(4000)
      await closed
    }
    await next(client, 'open')
    t.same(delays, expected)
    await server.peer()
    await client.close()
  }
})

test("connect() ends the client's wait for the next attempt", async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { WebSocket, reconnect: { initialDelay: 1e9, maxDelay: 1e9 } })
  await next(client, 'open')
  ;(await server.peer()).socket.close(1001)
  await next(client, 'close')
  t.equal(client.state, 'waiting')
  client.connect()
  await next(client, 'open')
})
