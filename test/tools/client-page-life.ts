// The client over the life of a page: hidden, frozen, left, kept by the browser, and shown again.
import type { Browser } from 'playwright-core'
import { t as file, test, type Test } from 'tap'
import { startApp } from '../support/app.js'
import { addClientPage, launchKeeping, openClientPage, serveClientPage as http, type ClientPage } from '../support/client-page.js'
import { eventually } from '../support/eventually.js'
import { openHideablePage, type HideablePage } from '../support/hideable-page.js'
import { createClient, next } from '../support/notification-client.js'
import { startNotificationServer, type NotificationServer, type Peer } from '../support/notification-server.js'

declare const page: ClientPage

let browser: Browser

file.before(async () => { browser = await launchKeeping() })
file.teardown(() => browser?.close())

test('fault 70: a page asks whether its connection is alive when the network comes back', async t => {
  const server = await startNotificationServer(t, { http, greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 600_000, silenceMs: 600_000 } })
  const tab = await openClientPage(t, browser, server.url)
  const peer = await server.peer()
  await tab.waitForFunction(() => page.client.state === 'open')
  await tab.context().setOffline(true)
  await tab.context().setOffline(false)
  const [frame] = await Promise.race([peer.frame(1), server.peer().then(() => ['connected again'])])
  t.ok(frame === '{"type":"ping"}' || frame === 'connected again', frame!)
})

test('fault 72: a handler that reloads the page does so once, as its ack goes out before', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  const peer = await server.peer()
  await tab.evaluate('page.client.addEventListener("notification", () => location.reload())')
  peer.notify('new version')
  t.same(await peer.acked(1), ['new version'])
  await peer.closed
  await server.peer()
})

test('fault 72: a page that the browser keeps while somebody is elsewhere connects again when it is shown again', async t => {
  const server = await startNotificationServer(t, { http })
  const tab = await openClientPage(t, browser, server.url)
  const first = await server.peer()
  await tab.evaluate(async () => {
    await page.client.close()
    // The server sees by this URL that the page is the same, not one that was loaded again.
    const kept = new page.NotificationClient('/notification?kept', { onNotification () {} })
    await new Promise(resolve => kept.addEventListener('open', resolve))
  })
  await first.closed
  const peer = await server.peer()
  t.equal(peer.request.url, '/notification?kept')
  await tab.goto(server.url.replace('ws', 'http') + '/elsewhere')
  t.equal((await peer.closed).code, 1005, 'closed by the client, not by the browser')
  t.equal((await server.peer()).request.url, '/notification?userId=123', 'of the other page')
  await tab.evaluate('history.back()')
  const again = await server.peer()
  t.equal(again.request.url, '/notification?kept')
  again.notify('n1')
  t.same(await again.acked(1), ['n1'])
})

/**
 * A client in a page that the browser can hide. No time does what an event of the page has to do: neither the time between
 * two acks nor that before the next attempt to connect ends.
 */
async function openHideable (t: Test): Promise<{ tab: HideablePage, peer: Peer, server: NotificationServer }> {
  const server = await startNotificationServer(t, { http, greeting: { type: 'welcome', connectionId: 'c1', heartbeatMs: 600_000, silenceMs: 600_000 } })
  const tab = await openHideablePage(t, browser, `${server.url.replace('ws', 'http')}/idle`)
  await eventually(() => tab.evaluate('"page" in window'), 'the page has the client')
  await tab.evaluate(`new Promise(resolve => {
    const { setTimeout } = window
    Math.random = () => 0.5
    window.setTimeout = (callback, delay) => delay === 30 ? 0 : setTimeout(callback, delay)
    page.client = new page.NotificationClient('/notification', {
      reconnect: { initialDelay: 1e9, maxDelay: 1e9 },
      onNotification ({ id }) { page.events.push(id) }
    })
    page.client.addEventListener('open', resolve)
  }).then(() => {})`)
  return { tab, server, peer: await server.peer() }
}

async function hide (tab: HideablePage): Promise<void> {
  await tab.hide()
  await eventually(() => tab.evaluate('document.hidden'), 'the page is hidden')
}

/** Sends two notifications. The page handles both, and has not acknowledged the second one yet. */
async function notifyTwice (t: Test, { tab, peer }: { tab: HideablePage, peer: Peer }): Promise<void> {
  for (const id of ['a', 'b']) peer.notify(id)
  await eventually(async () => await tab.evaluate('page.events.length') === 2, 'both are handled')
  t.same(await peer.acked(1), ['a'])
}

test('fault 72: a page that is hidden sends the acks that wait', async t => {
  const { tab, peer } = await openHideable(t)
  await notifyTwice(t, { tab, peer })
  await tab.hide()
  t.same(await peer.acked(2), ['a', 'b'])
})

test('fault 72: a page that is frozen sends the acks that wait, as it may never run again', async t => {
  const { tab, peer } = await openHideable(t)
  await hide(tab)
  await notifyTwice(t, { tab, peer })
  await tab.freeze()
  t.same(await peer.acked(2), ['a', 'b'])
})

test('fault 70: a page that is shown again asks whether its connection is alive', async t => {
  const { tab, peer } = await openHideable(t)
  await hide(tab)
  await tab.show()
  t.same(await peer.frame(1), ['{"type":"ping"}'])
})

test('fault 70: a page that runs again after it was frozen connects again, however long it would have waited', async t => {
  const { tab, peer, server } = await openHideable(t)
  await hide(tab)
  await tab.freeze()
  peer.socket.terminate()
  await peer.closed
  await tab.resume()
  const again = await server.peer()
  again.notify('n')
  t.same(await again.acked(1), ['n'])
})

test('fault 74: a page that comes back is told what another device has acknowledged meanwhile', async t => {
  const { app, at, notifications } = await startApp(t, { settle: 'acknowledged', offline: 'hold', dismiss: true }, addClientPage)
  const tab = await openClientPage(t, browser, at('/idle'))
  await tab.evaluate(async () => {
    // It shows what arrives, and nobody looks.
    page.client = new page.NotificationClient('/notification?userId=123', { onNotification: ({ id }) => new Promise(() => { page.events.push(`shows ${id}`) }) })
    page.client.addEventListener('dismiss', ({ id }) => page.events.push(`dismisses ${id}`))
    await new Promise(resolve => page.client.addEventListener('open', resolve))
  })
  const outcome = app.notifier.notify('123', 'x', { id: 'n' })
  await tab.waitForFunction(() => page.events.length === 1)
  await tab.goto('about:blank')
  t.match(await outcome, { outcome: 'held' })
  const laptop = createClient(t, notifications('123'))
  await next(laptop, 'notification')
  await eventually(() => app.notifier.stats().acknowledged === 1, 'acknowledged')
  await laptop.close()
  await tab.evaluate('history.back()')
  await eventually(() => app.notifier.connections('123') === 1, 'it is back')
  await eventually(async () => (await tab.evaluate(() => page.events)).length === 2, 'told')
  t.same(await tab.evaluate(() => page.events), ['shows n', 'dismisses n'])
})
