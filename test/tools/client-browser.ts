import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { transform } from 'esbuild'
import { chromium, type Browser, type Page } from 'playwright-core'
import { t as file, test, type Test } from 'tap'
import type { NotificationClient, ReceivedNotification } from '../../src/client/index.js'
import { chromiumPath } from '../../support/chromium.js'
import { startNotificationServer } from '../support/notification-server.js'

let browser: Browser

file.before(async () => {
  browser = await chromium.launch({
    executablePath: await chromiumPath(),
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  })
})
file.teardown(() => browser?.close())

/** What the page keeps for the test to look at. */
declare const page: {
  client: NotificationClient<string>
  notifications: Array<ReceivedNotification<string>>
  events: string[]
}

const html = `<!doctype html><title>client</title><script type="module">
  import { NotificationClient } from '/client/index.js'
  const events = []
  const notifications = []
  const client = new NotificationClient('/notification?userId=123', {
    reconnect: { initialDelay: 50, maxDelay: 200 },
    onNotification: async notification => { notifications.push(notification) }
  })
  client.addEventListener('open', () => events.push('open'))
  client.addEventListener('close', ({ code, delay }) => events.push('close ' + code + (delay === undefined ? '' : ', will retry')))
  client.addEventListener('error', ({ code }) => events.push('error ' + code))
  client.addEventListener('ended', ({ code }) => events.push('ended ' + code))
  window.page = { client, notifications, events }
</script>`

/** The page, and the client's modules as the package has them: types taken out, one file for each. */
const serve: RequestListener = async (request, response) => {
  if (!request.url!.startsWith('/client/')) {
    response.setHeader('content-type', 'text/html').end(html)
    return
  }
  const source = await readFile(new URL(`../../src${request.url!.replace(/\.js$/, '.ts')}`, import.meta.url), 'utf8')
  const { code } = await transform(source, { loader: 'ts', target: 'es2023', tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } } })
  response.setHeader('content-type', 'text/javascript').end(code)
}

async function openPage (t: Test, url: string): Promise<Page> {
  const context = await browser.newContext()
  context.setDefaultTimeout(120_000)
  t.teardown(() => context.close())
  const tab = await context.newPage()
  tab.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
  await tab.goto(url.replace('ws', 'http'))
  return tab
}

test('a page without a build step connects, handles, acknowledges, and closes', async t => {
  const server = await startNotificationServer(t, { http: serve })
  const tab = await openPage(t, server.url)
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
  const server = await startNotificationServer(t, { http: serve })
  const tab = await openPage(t, server.url)
  ;(await server.peer()).socket.close(1001)
  const second = await server.peer()
  await tab.waitForFunction(() => page.client.state === 'open')

  await tab.context().setOffline(true)
  second.socket.terminate()
  await tab.waitForFunction(() => page.client.state === 'waiting')
  await tab.waitForTimeout(300) // longer than the longest wait
  t.equal(server.peers.length, 2)
  await tab.context().setOffline(false)
  const third = await server.peer()
  third.notify('n1')
  t.same(await third.acked(1), ['n1'])
  third.socket.close(4502)
  await tab.waitForFunction(() => page.client.state === 'closed')
  t.same(await tab.evaluate(() => page.events), [
    'open', 'close 1001, will retry', 'open', 'close 1006', 'open', 'close 4502', 'ended 4502'
  ])
})

test('a page is refused by a server that selects no subprotocol, and goes on trying', async t => {
  const server = await startNotificationServer(t, { http: serve, select: () => false })
  const tab = await openPage(t, server.url)
  await server.peer()
  await server.peer()
  t.equal(await tab.evaluate(() => page.events[0]), 'close 1006, will retry')
})
