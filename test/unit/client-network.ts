import { test } from 'tap'
import { createClient, next } from '../support/notification-client.js'
import { startNotificationServer } from '../support/notification-server.js'

// What a page has, for one process of its own.
const page = new EventTarget()
const navigator = { onLine: true }
Object.assign(globalThis, {
  addEventListener: page.addEventListener.bind(page),
  removeEventListener: page.removeEventListener.bind(page)
})
Object.defineProperty(globalThis, 'navigator', { value: navigator })

const slow = { initialDelay: 1e9, maxDelay: 1e9 }

test('a client connects at once when the browser is online again', async t => {
  const server = await startNotificationServer(t)
  const client = createClient(t, server.url, { reconnect: slow })
  await next(client, 'open')
  ;(await server.peer()).socket.terminate()
  t.match(await next(client, 'close'), { willReconnect: true, delay: Number })
  page.dispatchEvent(new Event('online'))
  await next(client, 'open')
})

test('while the browser is offline the client waits, from the start and after a lost connection', async t => {
  const server = await startNotificationServer(t)
  navigator.onLine = false
  const client = createClient(t, server.url)
  t.equal(client.state, 'waiting')
  await new Promise(resolve => setTimeout(resolve, 20)) // no event tells that nothing happens
  t.equal(server.peers.length, 0)
  navigator.onLine = true
  page.dispatchEvent(new Event('online'))
  await next(client, 'open')

  navigator.onLine = false
  ;(await server.peer()).socket.terminate()
  t.match(await next(client, 'close'), { willReconnect: true, delay: undefined })
  await new Promise(resolve => setTimeout(resolve, 30))
  t.equal(server.peers.length, 1)
  navigator.onLine = true
  page.dispatchEvent(new Event('online'))
  await next(client, 'open')
  t.equal(server.peers.length, 2)
})

test('a relative URL of a client is resolved against that of the page', async t => {
  const server = await startNotificationServer(t)
  Object.assign(globalThis, { location: { href: `${server.url.replace('ws', 'http')}/shop/?x` } })
  const client = createClient(t, '../notification?userId=1')
  await next(client, 'open')
  t.equal((await server.peer()).request.url, '/notification?userId=1')
})
