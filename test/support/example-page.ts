import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Browser, Locator, Page } from 'playwright-core'
import type { Test } from 'tap'
import { launchChromium } from '../../support/chromium.js'
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

/** An example and a browser for all tests of a file. */
export async function startExampleAndBrowser (file: Test): Promise<{ example: Example, browser: Browser }> {
  const browser = await launchChromium()
  file.teardown(() => browser.close())
  return { browser, example: await startExample(file) }
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
  return page.getByRole('article', { name: `Connection of user ${userId}, tab ${tab + 1}`, exact: true })
}

export function bell (page: Page, userId: string, unread: number, tab = 0): Locator {
  return card(page, userId, tab).getByRole('button', { name: `Notifications of user ${userId}, tab ${tab + 1}: ${unread} unread` })
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
  /** That the server puts the connection into. */
  group?: string
  /** Which one, in the order of the page, where there are several. */
  instance?: number
}

/** Connects a user; what arrives is taken over at once where the list is open. */
export async function connect (page: Page, userId: string, { isListOpen = true, isPlain = false, group = '', instance }: ConnectOptions = {}): Promise<void> {
  const tab = await page.getByRole('article', { name: `User ${userId}`, exact: true }).locator('.card').count()
  const form = page.locator('#connect')
  await form.getByLabel('User id').fill(userId)
  await form.getByLabel('Group').fill(group)
  await form.getByLabel('Plain WebSocket').setChecked(isPlain)
  if (instance !== undefined) await form.getByLabel('Instance').selectOption({ index: instance })
  await form.getByRole('button').click()
  await card(page, userId, tab).getByText('connected at').waitFor()
  if (isListOpen) await card(page, userId, tab).locator('.bell').click()
}

/** The switch. */
export function online (page: Page, userId: string, tab = 0): Locator {
  return card(page, userId, tab).getByRole('switch', { name: `Online: user ${userId}, tab ${tab + 1}` })
}

export async function goOffline (page: Page, userId: string): Promise<void> {
  await online(page, userId).uncheck()
  await card(page, userId).getByText('offline since').waitFor()
}

export const publish = sendBy('Publish')
export const notify = sendBy('Call notify()')

/** Sends what it is given by a button of the form, and resolves to what the form answers. */
function sendBy (button: string) {
  return async (page: Page, userId: string, content: string, { json = false } = {}): Promise<string> => {
    const form = page.getByRole('form', { name: 'Send' })
    await form.getByLabel('User id').fill(userId)
    await form.getByLabel('Content', { exact: true }).fill(content)
    await form.getByLabel('Content is JSON').setChecked(json)
    await form.getByRole('button', { name: button }).click()
    await form.locator('output:not([data-state=waiting])').waitFor()
    return await form.locator('output').innerText()
  }
}

/**
 * Watches the states of a connection, from when it resolves on.
 * @returns resolves when it has been in a state, however shortly
 */
export async function watchState (page: Page, userId: string): Promise<(text: string) => Promise<unknown>> {
  const seen = await card(page, userId).locator('.state').evaluateHandle(node => {
    const state = node as unknown as { textContent: string } // which the types of React declare, and leave empty
    const texts = [state.textContent]
    new MutationObserver(() => texts.push(state.textContent)).observe(state, { childList: true })
    return texts
  })
  return text => page.waitForFunction(({ seen, text }) => seen.some(state => state.includes(text)), { seen, text })
}

/** What can be touched and is smaller than 44 by 44 pixels. A label is touched for its checkbox. */
export async function smallTargets (page: Page): Promise<string[]> {
  return await page.evaluate(`Array.from(document.querySelectorAll('a, button, input, select, textarea'), element => {
    const { width, height } = (element.type === 'checkbox' ? element.closest('label') : element).getBoundingClientRect()
    const isSmall = width > 0 && (width < 44 || height < 44)
    return isSmall ? [element.outerHTML + ' is ' + width + ' by ' + height] : []
  }).flat()`)
}

/** How much wider than the window a page is, in pixels. */
export const overflow = async (page: Page): Promise<number> => await page.evaluate('document.documentElement.scrollWidth - innerWidth')

/** Whether a part of a page is in the window as a whole. */
export async function isInView (page: Page, part: Locator): Promise<boolean> {
  const { y, height } = (await part.boundingBox())!
  return y >= 0 && y + height <= page.viewportSize()!.height
}
