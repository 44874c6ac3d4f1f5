import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import { chromium, type Browser, type Page } from 'playwright-core'
import { t as file, test, type Test } from 'tap'
import { chromiumPath } from '../../support/chromium.js'
import { bundle, serveReactPage } from './react-page.js'
import { startNotificationServer, type NotificationServer } from './notification-server.js'

/** What the page keeps for the tests. */
declare const page: { events: string[], errors: string[], setUrl (url: string | undefined): void }

/**
 * The tests of `fastify-notification/react`, in Chromium.
 * @param modules the folder `node_modules` of a version of React
 */
export function testReact (version: string, modules: () => string | undefined): void {
  let browser: Browser
  file.before(async () => { browser = await chromium.launch({ executablePath: await chromiumPath(), args: ['--no-sandbox', '--disable-gpu'] }) })
  file.teardown(() => browser?.close())

  async function open (t: Test, rendered?: string): Promise<{ server: NotificationServer, tab: Page, texts: () => Promise<string[]> }> {
    const server = await startNotificationServer(t, { http: await serveReactPage(modules(), rendered) })
    const tab = await browser.newPage()
    t.teardown(() => tab.close())
    tab.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
    await tab.goto(server.url.replace('ws', 'http'))
    return { server, tab, texts: () => tab.locator('li').allInnerTexts() }
  }

  const bell = (tab: Page, text: string) => tab.locator('#bell', { hasText: text }).waitFor()

  test(`React ${version}: all components share one connection, also in StrictMode, and see what arrives`, async t => {
    const { server, tab, texts } = await open(t)
    const peer = await server.peer()
    await bell(tab, '0 unread, open')
    for (const id of ['a', 'b', 'c', 'd', 'b']) peer.notify(id, `content ${id}`)
    t.same((await peer.acked(5)).toSorted(), ['a', 'b', 'b', 'c', 'd'])
    await bell(tab, '3 unread, open')
    t.same(await texts(), ['content d', 'content c', 'content b'], 'the newest first, and only the last three')
    await tab.locator('li', { hasText: 'content c' }).click()
    await bell(tab, '2 unread, open')
    t.same(await texts(), ['content d', 'content c (read)', 'content b'])
    await tab.click('#all')
    await bell(tab, '0 unread, open')
    await tab.click('#toggle')
    await tab.click('#toggle')
    t.same(await texts(), ['content d (read)', 'content c (read)', 'content b (read)'])
    t.same(await tab.evaluate(() => page.events), ['toast a', 'toast b', 'toast c', 'toast d'])
    t.equal(server.peers.length, 1)
    t.same(await tab.evaluate(() => page.errors), [])
  })

  test(`React ${version}: signing out closes the connection and empties the list; another URL begins anew`, async t => {
    const { server, tab, texts } = await open(t)
    const first = await server.peer()
    first.notify('a')
    await bell(tab, '1 unread, open')
    await tab.evaluate(() => page.setUrl(undefined))
    t.equal((await first.closed).code, 1000)
    await bell(tab, '0 unread, idle')
    t.same(await texts(), [])
    await tab.evaluate(() => page.setUrl('/notification?userId=456'))
    const second = await server.peer()
    t.equal(second.request.url, '/notification?userId=456')
    await bell(tab, '0 unread, open')
    second.socket.close(1001)
    const third = await server.peer()
    await bell(tab, '0 unread, open')
    third.socket.close(4501)
    await bell(tab, '0 unread, closed')
    t.same(await tab.evaluate(() => page.events), ['toast a', 'ended 4501'], 'not told of what the page has closed itself')
    t.same(await tab.evaluate(() => page.errors), [])
  })

  test(`React ${version}: a server renders the page without a connection, and the browser takes it over`, async t => {
    const module = { exports: {} as { html (): string, outside (): string } }
    const code = await bundle('react-server.ts', { modules: modules(), platform: 'node' })
    // Where a server renders there is no WebSocket.
    compileFunction(code, ['module', 'require', 'WebSocket'])(module, createRequire(import.meta.url), undefined)
    const html = module.exports.html()
    t.match(html, '0 unread, idle')
    t.match(module.exports.outside(), 'needs a <NotificationProvider>')
    const { server, tab } = await open(t, html)
    await server.peer()
    await bell(tab, '0 unread, open')
    t.same(await tab.evaluate(() => page.errors), [], 'what the browser renders is the same')
    t.equal(server.peers.length, 1)
  })
}
