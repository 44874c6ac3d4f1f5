import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Browser, Locator, Page } from 'playwright-core'
import type { Test } from 'tap'
import { useBroker } from './broker.js'
import { startProgram } from './process.js'

/** The page's own. */
declare const MutationObserver: new (callback: () => void) => { observe (target: unknown, options: object): void }

/** The example, run as a user would. */
export interface Example {
  readonly url: string
  readonly queue: string
  /** Ends it in order, and resolves when it has ended. */
  stop (): Promise<void>
  /** Starts it again, at the same URL. */
  start (): Promise<void>
}

export interface ExamplePage extends Page {
  readonly example: Example
  /** Opens the page once more, in a window of its own. */
  openTab (): Promise<Page>
}

/** In milliseconds; far above what anything takes. */
const TIMEOUT = 120_000

export async function startExample (t: Test, env: NodeJS.ProcessEnv = {}, args: string[] = []): Promise<Example> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  let server: ChildProcess
  let url = ''
  async function start (): Promise<void> {
    const port = url === '' ? '0' : new URL(url).port
    server = startProgram(t, 'example/start.ts', args, { AMQP_URL: broker.url, QUEUE: queue, PORT: port, REDIS_URL: '', ...env })
    url = await new Promise<string>((resolve, reject) => {
      createInterface(server.stdout!)
        .on('line', line => { if (line.trim().startsWith('Open ')) resolve(line.trim().slice('Open '.length).trim()) })
        .on('close', () => reject(new Error('the example ended')))
    })
  }
  await start()
  return {
    url,
    queue,
    start,
    async stop () {
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      await ended
    }
  }
}

/** The page of an example. A problem in the page fails the test. */
export async function openPage (t: Test, browser: Browser, example: Example): Promise<ExamplePage> {
  // A window for each: in one window, what is done to a tab behind another one waits for seconds.
  async function openTab (): Promise<Page> {
    const context = await browser.newContext()
    context.setDefaultTimeout(TIMEOUT)
    t.teardown(() => context.close())
    const page = await context.newPage()
    page.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
    await page.goto(example.url)
    return page
  }
  return Object.assign(await openTab(), { example, openTab })
}

let users = 100

/** A user whom no other test knows. */
export const newUser = (): string => `user-${++users}`

export function card (page: Page, userId: string, tab = 0): Locator {
  return page.getByRole('article', { name: `Connection of user ${userId}` }).nth(tab)
}

export function bell (page: Page, userId: string, unread: number, tab = 0): Locator {
  return card(page, userId, tab).getByRole('button', { name: `Notifications of user ${userId}: ${unread} unread` })
}

export function toast (page: Page, userId: string, content: string, tab = 0): Locator {
  return card(page, userId, tab).locator('.toast', { hasText: content })
}

export function item (page: Page, userId: string, content: string, tab = 0): Locator {
  return card(page, userId, tab).getByRole('log').getByRole('listitem').filter({ has: page.getByText(content, { exact: true }) })
}

/** What is in the list, whether or not it is open. */
export async function listed (page: Page, userId: string, tab = 0): Promise<string[]> {
  return await card(page, userId, tab).locator('.notifications .content').allTextContents()
}

interface ConnectOptions {
  isListOpen?: boolean
  isPlain?: boolean
  /** Which one, in the order of the page, where there are several. */
  instance?: number
}

/** Connects a user; what arrives is taken over at once where the list is open. */
export async function connect (page: Page, userId: string, { isListOpen = true, isPlain = false, instance }: ConnectOptions = {}): Promise<void> {
  const tab = await page.getByRole('article', { name: `Connection of user ${userId}` }).count()
  const form = page.locator('#connect')
  await form.getByLabel('User id').fill(userId)
  await form.getByLabel('Plain WebSocket').setChecked(isPlain)
  if (instance !== undefined) await form.getByLabel('Instance').selectOption({ index: instance })
  await form.getByRole('button').click()
  await card(page, userId, tab).getByText('connected at').waitFor()
  if (isListOpen) await card(page, userId, tab).locator('.bell').click()
}

/** The switch. */
export function offline (page: Page, userId: string, tab = 0): Locator {
  return card(page, userId, tab).getByRole('switch', { name: `Offline: user ${userId}` })
}

export async function goOffline (page: Page, userId: string): Promise<void> {
  await offline(page, userId).check()
  await card(page, userId).getByText('offline since').waitFor()
}

export const publish = submit('Publish to the queue')
export const notify = submit('Call notify()')

/** Sends a form, and resolves to what it answers. */
function submit (name: string) {
  return async (page: Page, userId: string, content: string, { json = false } = {}): Promise<string> => {
    const form = page.getByRole('form', { name })
    await form.getByLabel('User id').fill(userId)
    await form.getByLabel('Content', { exact: true }).fill(content)
    await form.getByLabel('Content is JSON').setChecked(json)
    await form.getByRole('button').click()
    await form.locator('output:not([data-state=waiting])').waitFor()
    return await form.locator('output').innerText()
  }
}

/**
 * Watches the states of a connection, from when it resolves on.
 * @returns resolves when it has been in a state, however shortly
 */
export async function watchState (page: Page, userId: string): Promise<(text: string) => Promise<unknown>> {
  const seen = await card(page, userId).locator('.state').evaluateHandle(state => {
    const texts = [state.textContent]
    new MutationObserver(() => texts.push(state.textContent)).observe(state, { childList: true })
    return texts
  })
  return text => page.waitForFunction(({ seen, text }) => seen.some(state => state.includes(text)), { seen, text })
}
