import { createInterface } from 'node:readline'
import { chromium, type Browser, type Locator, type Page } from 'playwright-core'
import { t as file, test, type Test } from 'tap'
import { chromiumPath } from '../support/chromium.js'
import { useBroker } from './support/broker.js'
import { startProgram } from './support/process.js'

// Loaded into the example: it goes when the test process goes, however that ends.
let browser: Browser

file.before(async () => {
  browser = await chromium.launch({
    executablePath: await chromiumPath(),
    args: [
      '--no-sandbox', // Chromium doesn't run as root with its sandbox
      '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'
    ]
  })
})
file.teardown(() => browser?.close())

test('what is published for one user is shown to that user, in each tab, and to nobody else', async t => {
  const page = await openPage(t)
  await connect(page, '123')
  await connect(page, '123')
  await connect(page, '456')

  t.equal(await publish(page, '123', 'hello world'), `published to the queue “${page.queue}”`)
  await publish(page, '456', 'for 456')

  for (const tab of [0, 1]) {
    await notification(page, '123', 'hello world', tab).waitFor()
    t.same(await notifications(page, '123', tab), ['hello world'])
  }
  await notification(page, '456', 'for 456').waitFor()
  t.same(await notifications(page, '456'), ['for 456'])
})

test('a content is shown as text, never as HTML, and JSON as its text', async t => {
  const page = await openPage(t)
  await connect(page, '123')
  const html = '<img src="x" onerror="document.title = \'broken\'"><b>bold</b>'
  await publish(page, '123', html)
  await notification(page, '123', html).waitFor()
  t.equal(await log(page, '123').locator('b, img').count(), 0)
  t.equal(await page.title(), 'fastify-notification')

  await publish(page, '123', '{ "order": 7 }', { json: true })
  await notification(page, '123', '{"order":7}').waitFor()

  const form = page.getByRole('form', { name: 'Publish to the queue' })
  await form.getByLabel('Content', { exact: true }).fill('{ order')
  await form.getByRole('button').click()
  await form.getByText('The content is not JSON').waitFor()
})

test('notify() answers with its outcome', async t => {
  const page = await openPage(t)
  t.match(await notify(page, '123', 'hello world'), 'outcome: offline · 0 connections')
  await connect(page, '123')
  t.match(await notify(page, '123', 'hello world'), 'outcome: sent · 1 connection ·')
  await notification(page, '123', 'hello world').waitFor()
  await connect(page, '123')
  t.match(await notify(page, '123', '[1]', { json: true }), 'outcome: sent · 2 connections ·')
  t.match(await notify(page, 'x'.repeat(200) + '🙂'.repeat(25), 'hi'), '400 Bad Request: userId must be 1 to 255 bytes')
})

test('a closed connection says so, with its code, and can be opened again', async t => {
  const page = await openPage(t)
  await connect(page, '123')
  await connect(page, '456')
  await card(page, '123').getByRole('button', { name: 'Disconnect' }).press('Enter')
  await card(page, '123').getByText('with code 1000').waitFor()
  t.match(await notify(page, '123', 'missed'), 'outcome: offline')
  t.match(await notify(page, '456', 'still here'), 'outcome: sent')

  await card(page, '123').getByRole('button', { name: 'Connect again' }).press('Enter')
  await card(page, '123').getByText('connected at').waitFor()
  t.match(await notify(page, '123', 'back'), 'outcome: sent')
  await notification(page, '123', 'back').waitFor()

  page.stopServer()
  await card(page, '123').getByText('with code 1001: server shutting down').waitFor()
  await card(page, '456').getByText('with code 1001: server shutting down').waitFor()
  await page.getByRole('status').getByText('does not answer').waitFor()
  await card(page, '123').getByRole('button', { name: 'Connect again' }).click()
  await card(page, '123').getByText('with code 1006').waitFor()
  await card(page, '123').getByRole('button', { name: 'Remove' }).click()
  await card(page, '456').getByRole('button', { name: 'Remove' }).click()
  await page.getByText('Nobody is connected yet.').waitFor()
})

test('the page says how the server is', async t => {
  const page = await openPage(t)
  await page.getByRole('status').getByText('consuming from RabbitMQ').waitFor()

  const without = await openPage(t, { AMQP_URL: 'none' })
  await without.getByRole('status').getByText('no RabbitMQ').waitFor()
  t.match(await publish(without, '123', 'hello world'), '503 Service Unavailable: could not publish: the example runs without a RabbitMQ')
  await connect(without, '123')
  t.match(await notify(without, '123', 'hello world'), 'outcome: sent')
})

interface ExamplePage extends Page { queue: string, stopServer (): void }

/** The page of an example of its own, in a browser context of its own. A problem in the page fails the test. */
async function openPage (t: Test, env: NodeJS.ProcessEnv = {}): Promise<ExamplePage> {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const server = startProgram(t, 'example/server.ts', [], { AMQP_URL: broker.url, QUEUE: queue, PORT: '0', ...env })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(server.stdout!)
      .on('line', line => { if (line.trim().startsWith('Open ')) resolve(line.trim().slice('Open '.length).trim()) })
      .on('close', () => reject(new Error('the example ended')))
  })

  const page = await browser.newPage()
  t.teardown(() => page.close())
  page.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
  await page.goto(url)
  return Object.assign(page, { queue, stopServer () { server.kill('SIGTERM') } })
}

function card (page: Page, userId: string, tab = 0): Locator {
  return page.getByRole('article', { name: `Connection of user ${userId}` }).nth(tab)
}

function log (page: Page, userId: string, tab = 0): Locator {
  return page.getByRole('log', { name: `Notifications of user ${userId}` }).nth(tab)
}

function notification (page: Page, userId: string, content: string, tab = 0): Locator {
  return log(page, userId, tab).getByRole('listitem').getByText(content, { exact: true })
}

async function notifications (page: Page, userId: string, tab = 0): Promise<string[]> {
  return await log(page, userId, tab).locator('.content').allTextContents()
}

async function connect (page: Page, userId: string): Promise<void> {
  const tab = await page.getByRole('article', { name: `Connection of user ${userId}` }).count()
  await page.locator('#connect').getByLabel('User id').fill(userId)
  await page.locator('#connect').getByRole('button').click()
  await card(page, userId, tab).getByText('connected at').waitFor()
}

const publish = submit('Publish to the queue')
const notify = submit('Call notify()')

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
