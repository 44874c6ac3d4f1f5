import type { Browser, Page } from 'playwright-core'
import { t as file, test } from 'tap'
import type { NotificationClient } from '../../src/client/index.js'
import { launchChromium } from '../../support/chromium.js'
import { startApp } from '../support/app.js'
import { useBroker } from '../support/broker.js'
import { addClientPage, openClientPage, serveClientPage as http, type ClientPage } from '../support/client-page.js'
import { startNotificationServer } from '../support/notification-server.js'

declare const page: ClientPage

let browser: Browser

file.before(async () => { browser = await launchChromium() })
file.teardown(() => browser?.close())

test('a page without a build step connects, handles, acknowledges, and closes', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  const peer = await server.peer()
  t.equal(peer.request.url, '/notification?userId=123')
  peer.notify('n1', 'hello world')
  peer.notify('n2', 'again', true)
  t.same(await peer.acked(2), ['n1', 'n2'])
  t.same(await tab.evaluate(() => page.notifications), [
    { id: 'n1', content: 'hello world', redelivered: false }, { id: 'n2', content: 'again', redelivered: true }
  ])
  await tab.evaluate(() => page.client.close(1000, 'bye'))
  t.same(await peer.closed, { code: 1000, reason: 'bye' })
  t.same(await tab.evaluate(() => page.events), ['open', 'close 1000', 'ended 1000'])
})

test('a page connects again after a restart and a lost network, and not after 4502', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  ;(await server.peer()).socket.close(1001)
  const second = await server.peer()
  await tab.waitForFunction(() => page.client.state === 'open')

  await tab.context().setOffline(true)
  second.socket.terminate()
  await tab.waitForFunction(() => page.client.state === 'waiting')
  await tab.context().setOffline(false)
  const third = await server.peer()
  third.notify('n1')
  t.same(await third.acked(1), ['n1'])
  third.socket.close(4502)
  await tab.waitForFunction(() => page.client.state === 'closed')
  const events = await tab.evaluate(() => page.events)
  t.same(events.slice(0, 4), ['open', 'close 1001, will retry', 'open', 'close 1006, will retry'])
  t.same(events.slice(-3), ['open', 'close 4502', 'ended 4502'])
})

test('a page is refused by a server that selects no subprotocol, and goes on trying', async t => {
  const server = await startNotificationServer(t, { http, select: () => false })
  const tab = await openClientPage(t, browser, server.url)
  await server.peer()
  await server.peer()
  t.equal(await tab.evaluate(() => page.events[0]), 'close 1006, will retry')
})

test('fault 69: in a page, a listener that is added late gets what came before, and it is acknowledged only then', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  await server.peer()
  await tab.evaluate(() => { Object.assign(page, { late: new page.NotificationClient('/notification?userId=late') }) })
  const peer = await server.peer()
  for (let n = 0; n < 200; n++) peer.notify(`n${n}`)
  await tab.evaluate(() => new Promise<void>(resolve => { setTimeout(resolve, 200) }))
  t.same(peer.acks, [])
  await tab.evaluate(() => {
    const { late } = page as unknown as { late: NotificationClient }
    late.addEventListener('notification', ({ id }) => { page.events.push(id) }, { once: true })
    late.addEventListener('notification', ({ id }) => { page.events.push(id) })
  })
  t.equal((await peer.acked(200)).length, 200)
  t.same((await tab.evaluate(() => page.events)).slice(-3), ['n197', 'n198', 'n199'])
})

test('fault 69: in a page, listeners that were removed, had `once`, or whose signal has aborted, are not there any more; objects are', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  await server.peer()
  await tab.evaluate(() => {
    const late = new page.NotificationClient('/notification?userId=late')
    const add = (name: string) => ({ id }: { id: string }) => { page.events.push(`${name} ${id}`) }
    const removed = add('removed')
    late.addEventListener('notification', removed)
    late.removeEventListener('notification', removed)
    late.addEventListener('notification', add('aborted'), { signal: AbortSignal.abort() })
    late.addEventListener('notification', add('once'), { once: true })
    Object.assign(page, { late, object: { handleEvent: add('object') } })
  })
  const peer = await server.peer()
  for (const id of ['a', 'b']) peer.notify(id)
  t.same(await peer.acked(1), ['a'])
  await tab.evaluate(() => {
    const { late, object } = page as unknown as { late: NotificationClient, object: { handleEvent (): void } }
    late.addEventListener('notification', object)
  })
  t.same(await peer.acked(2), ['a', 'b'])
  t.same((await tab.evaluate(() => page.events)).filter(event => event !== 'open'), ['once a', 'object b'])
})

test('fault 70: a page notices a connection that has died in silence, within the time that the server has told', async t => {
  const server = await startNotificationServer(t, { http, greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 500, silenceMs: 1_000 } })
  const tab = await openClientPage(t, browser, server.url)
  ;(await server.peer()).socket.pause() // it is open, and says nothing
  await server.peer()
  t.same((await tab.evaluate(() => page.events)).slice(0, 2), ['open', 'close 1006, will retry'])
})

test('fault 73: a page whose browser is wrong about the network connects all the same', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  const first = await server.peer()
  await tab.evaluate('Object.defineProperty(navigator, "onLine", { value: false })')
  first.socket.close(1001)
  await server.peer()
  await tab.evaluate(async () => {
    await page.client.close()
    page.client.connect()
  })
  await server.peer()
  await tab.waitForFunction(() => page.client.state === 'open')
})

test('fault 75: a page whose handler throws, or never ends, says so; what is behind goes on', async t => {
  const server = await startNotificationServer(t, { http, greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000, ackTimeoutMs: 1_000 } })
  const tab = await openClientPage(t, browser, server.url)
  await server.peer()
  await tab.evaluate(() => {
    const client = new page.NotificationClient('/notification?userId=456', {
      async onNotification ({ id, signal }) {
        if (id === 'poison') throw new Error('cannot')
        if (id === 'endless') await new Promise(() => signal.addEventListener('abort', () => page.events.push(`${signal.reason}`)))
      }
    })
    client.addEventListener('error', ({ code, cause }) => page.events.push(`${code} ${cause}`))
  })
  const peer = await server.peer()
  for (const id of ['endless', 'poison', 'next']) peer.notify(id)
  t.same(await peer.nacked(2), ['poison', 'endless'])
  t.same(peer.acks, ['next'])
  t.same((await tab.evaluate(() => page.events)).filter(event => event !== 'open'), [
    'handler-failed Error: cannot', 'Error: not handled within 800 ms', 'handler-failed Error: not handled within 800 ms'
  ])
})

test('fault 75: what a page can never handle is dead-lettered after a few tries, and its connection stays', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const { app, at } = await startApp(t, { amqpUrl: broker.url, queue, settle: 'acknowledged', maxDeliveries: 2 }, addClientPage)
  const tab = await openClientPage(t, browser, at('/idle'))
  await tab.evaluate(async () => {
    page.client = new page.NotificationClient('/notification?userId=123', {
      onNotification ({ id, redelivered }) {
        page.events.push(`${id} ${redelivered}`)
        if (id === 'poison') throw new Error('cannot')
      }
    })
    for (const type of ['error', 'close'] as const) page.client.addEventListener(type, ({ code }) => page.events.push(`${type} ${code}`))
    await new Promise(resolve => page.client.addEventListener('open', resolve))
  })
  const poison = app.notifier.notify('123', 'x', { id: 'poison' })
  t.match(await app.notifier.notify('123', 'x', { id: 'next' }), { outcome: 'acknowledged' })
  t.match(await poison, { outcome: 'dead-lettered' })
  const [letter] = await broker.takeAll(`${queue}.dead`, 1)
  t.equal(letter!.properties.headers!['x-notification-reason'], 'rejected')
  t.same((await tab.evaluate(() => page.events)).toSorted(), ['error handler-failed', 'error handler-failed', 'next false', 'poison false', 'poison true'])
})

test('fault 78: the frames of a page are no larger than the server says that they may be', async t => {
  const server = await startNotificationServer(t, { http, greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 25_000, frameBytes: 1_024 } })
  await openClientPage(t, browser, server.url)
  const peer = await server.peer()
  const ids = Array.from({ length: 30 }, (_, n) => `${n}-${'é'.repeat(50)}`)
  for (const id of ids) peer.notify(id)
  t.same(await peer.acked(30), ids)
  t.same(peer.frames.filter(frame => Buffer.byteLength(frame) > 1_024), [])
})

test('fault 71: a page is told that its session has expired, and a fresh ticket needs no reload', async t => {
  let valid = 1
  const { app, at } = await startApp(t, { authenticate: ({ url }) => url.endsWith(`ticket=${valid}`) ? '123' : '' }, addClientPage)
  const tab = await openClientPage(t, browser, at('/'))
  const ended = await tab.evaluate(async () => await new Promise(resolve => {
    new page.NotificationClient('/notification?ticket=0').addEventListener('ended', ({ code }) => resolve(code))
  }))
  t.equal(ended, 4501)

  await tab.evaluate(() => {
    let tickets = 0
    const client = new page.NotificationClient(() => `/notification?ticket=${++tickets}`, { reconnect: { initialDelay: 10 } })
    client.addEventListener('close', ({ code }) => page.events.push(`ticket ${tickets}: ${code}`))
    client.addEventListener('open', () => page.events.push(`ticket ${tickets}: open`))
  })
  await tab.waitForFunction(() => page.events.includes('ticket 1: open'))
  valid = 2
  app.notifier.disconnect('123', 4500, 'expired')
  await tab.waitForFunction(() => page.events.includes('ticket 2: open'))
  t.same((await tab.evaluate(() => page.events)).filter(event => event.startsWith('ticket')), ['ticket 1: open', 'ticket 1: 4500', 'ticket 2: open'])
})

test('fault 71: a page is told that its user may not connect', async t => {
  const { at } = await startApp(t, { authenticate: () => '123' }, addClientPage)
  const tab = await openClientPage(t, browser, at('/'))
  t.equal(await tab.evaluate(async () => await new Promise(resolve => {
    new page.NotificationClient('/notification?userId=456').addEventListener('ended', ({ code }) => resolve(code))
  })), 4503)
})

test('the recipe for a SharedWorker: all tabs share one connection, also when one of them goes', async t => {
  const server = await startNotificationServer(t, { http })
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const [one, two] = await Promise.all([1, 2].map(async () => {
    const tab = await context.newPage()
    await tab.goto(`${server.url.replace('ws', 'http')}/shared`)
    return tab
  }))
  const peer = await server.peer()
  // Only the tab itself knows when the worker has it.
  const texts = async (tab: Page) => await tab.evaluate('shown.filter(text => text !== "early")') as string[]
  for (let n = 0; (await Promise.all([one!, two!].map(tab => tab.evaluate('shown.length === 0')))).includes(true); n++) {
    peer.notify(`early-${n}`, 'early')
    await peer.acked(n + 1)
  }
  const shown = async (tab: Page, text: string) => {
    await tab.waitForFunction(`shown.at(-1) === ${JSON.stringify(text)}`)
    return await texts(tab)
  }
  peer.notify('n1', 'both')
  t.same(await shown(one!, 'both'), ['both'])
  t.same(await shown(two!, 'both'), ['both'])
  await one!.close()
  peer.notify('n2', 'one')
  t.same(await shown(two!, 'one'), ['both', 'one'])
  peer.socket.close(4501)
  t.same(await shown(two!, 'sign in'), ['both', 'one', 'sign in'])
  t.equal(server.peers.length, 1)
})
