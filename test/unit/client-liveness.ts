import { test } from 'tap'
import { createClient, next, record } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

const welcome = (silenceMs: unknown) => ({ type: 'welcome', connectionId: 'c1', heartbeatMs: 100, silenceMs })

test('fault 70: a client to which nothing came for as long as the server said connects again', async t => {
  const server = await startNotificationServer(t, { greeting: welcome(200) })
  const client = createClient(t, server.url)
  t.match(await next(client, 'close'), { code: 1006, reason: 'nothing came for 200 ms', willReconnect: true })
  await next(client, 'open')
})

test('fault 70: any frame is a sign of life', async t => {
  const server = await startNotificationServer(t, { greeting: welcome(2_000) })
  const client = createClient(t, server.url)
  const events = record(client)
  await next(client, 'open')
  const peer = await server.peer()
  const signs = setInterval(() => peer.send({ type: 'ping' }), 50)
  t.teardown(() => clearInterval(signs))
  await new Promise(resolve => setTimeout(resolve, 5_000)) // longer than the silence that is allowed
  t.same(events, ['open c1'])
})

test('fault 70: a client that slept asks first, as what came meanwhile may still be unread', async t => {
  const server = await startNotificationServer(t, { greeting: welcome(200) })
  const client = createClient(t, server.url)
  const events = record(client)
  await next(client, 'open')
  const peer = await server.peer()
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + 60_000 })
  t.same(await peer.frame(1), ['{"type":"ping"}'])
  t.same(events, ['open c1'])
  t.match(await next(client, 'close'), { reason: /^(no answer within 5000|nothing came for 200) ms$/ })
})

for (const silence of [0, -1, 'x', null, {}]) {
  test(`a silence of ${JSON.stringify(silence)} is none`, async t => {
    const server = await startNotificationServer(t, { greeting: welcome(silence) })
    const client = createClient(t, server.url, { onNotification () {} })
    const events = record(client)
    const peer = await server.peer()
    peer.notify('n')
    await peer.acked(1)
    t.same(events, ['open c1'])
    t.equal(client.state, 'open')
  })
}

test('a connection that has ended leaves no timer', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const server = await startNotificationServer(t, { greeting: welcome(600_000) })
  const before = timers()
  const client = createClient(t, server.url)
  await next(client, 'open')
  const peer = await server.peer()
  client.connect()
  await peer.frame(1)
  await client.close()
  t.ok(timers() <= before)
})
