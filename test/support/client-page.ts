import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { transform } from 'esbuild'
import type { FastifyInstance } from 'fastify'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import type { NotificationClient, ReceivedNotification } from '../../src/client/index.js'
import { launchChromium } from '../../support/chromium.js'

/** Starts a browser that keeps pages while somebody is elsewhere. */
export const launchKeeping = async (): Promise<Browser> => await launchChromium({ ignoreDefaultArgs: ['--disable-back-forward-cache'] })

/** What the page keeps for a test to look at. It is a global of the page. */
export interface ClientPage {
  NotificationClient: typeof NotificationClient
  client: NotificationClient<string>
  notifications: Array<ReceivedNotification<string>>
  events: string[]
}

/** At `/idle`: a page that has the client, and makes none. */
const idle = `<!doctype html><title>idle</title><script type="module">
  import { NotificationClient } from '/client/index.js'
  window.page = { NotificationClient, notifications: [], events: [] }
</script>`

/** Elsewhere. */
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
  window.page = { NotificationClient, client, notifications, events }
</script>`

/** The recipe of the documents for a SharedWorker: the worker, and what each tab does. */
const [, recipe] = (await readFile(new URL('../../docs/client.md', import.meta.url), 'utf8')).split('## One connection for all tabs')
const [worker, tabScript] = Array.from(recipe!.matchAll(/```js\n([^]*?)```/g), ([, code]) => code!)

/** The page, and the client's modules as the package has them: types taken out, one file for each. */
export const serveClientPage: RequestListener = async (request, response) => {
  if (request.url === '/notifications.js') {
    response.setHeader('content-type', 'text/javascript').end(worker)
    return
  }
  if (request.url === '/shared') {
    const collect = 'const shown = []; window.shown = shown; const show = (id, content) => shown.push(content); const signIn = () => shown.push("sign in");'
    response.setHeader('content-type', 'text/html').end(`<!doctype html><title>tab</title><script type="module">${collect}${tabScript}</script>`)
    return
  }
  if (!request.url!.startsWith('/client/')) {
    response.setHeader('content-type', 'text/html').end(request.url === '/idle' ? idle : html)
    return
  }
  const source = await readFile(new URL(`../../src${request.url!.replace(/\.js$/, '.ts')}`, import.meta.url), 'utf8')
  const { code } = await transform(source, { loader: 'ts', target: 'es2023', tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } } })
  response.setHeader('content-type', 'text/javascript').end(code)
}

/**
 * Opens the page of a server. An error in the page fails the test.
 * @param prepare is given the page before it loads
 */
export async function openClientPage (t: Test, browser: Browser, url: string, prepare?: (tab: Page) => unknown): Promise<Page> {
  const context = await browser.newContext()
  context.setDefaultTimeout(120_000)
  t.teardown(() => context.close())
  const tab = await context.newPage()
  tab.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
  await prepare?.(tab)
  await tab.goto(url.replace(/^ws/, 'http'))
  return tab
}

/** Lets an application serve the page. */
export function addClientPage (app: FastifyInstance): void {
  app.get('/*', (request, reply) => {
    reply.hijack()
    serveClientPage(request.raw, reply.raw)
  })
}
