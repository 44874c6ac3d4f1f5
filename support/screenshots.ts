// Takes the pictures of the example, which it starts, for the documents: npm run screenshots
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { launchChromium } from './chromium.js'

const folder = fileURLToPath(new URL('../example/screenshots/', import.meta.url))

const example = spawn(process.execPath, ['--import', 'tsx', 'example/server.ts'], {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { ...process.env, AMQP_URL: process.env.TEST_AMQP_URL, PORT: '0', REDIS_URL: '' }
})
const ended = once(example, 'exit')
try {
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(example.stdout)
      .on('line', line => { if (line.trim().startsWith('Open ')) resolve(line.trim().slice('Open '.length).trim()) })
      .on('close', () => reject(new Error('the example ended')))
  })
  const browser = await launchChromium()
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 930 }, colorScheme: 'light', reducedMotion: 'reduce', locale: 'en-GB' })
    await takeAll(page, url)
  } finally {
    await browser.close()
  }
} finally {
  example.kill('SIGTERM')
  await ended
}

async function takeAll (page: Page, url: string): Promise<void> {
  // Always the same time, so that the pictures change with the page alone.
  const start = new Date(2026, 0, 15, 10, 24)
  await page.clock.install({ time: start })
  await page.goto(url)
  await page.getByText('consuming from RabbitMQ').waitFor()
  for (const userId of ['ada', 'ada', 'grace']) await connect(page, userId)

  await offlineSwitch(page, 'grace').check()
  await page.getByText('offline since').waitFor()
  await send(page, 'Call notify()', 'grace', 'Table 4 is free now')
  await send(page, 'Publish to the queue', 'grace', 'Invoice 2026-118 was paid')
  await send(page, 'Call notify()', 'grace', 'Alan wrote to you')
  await send(page, 'Publish to the queue', 'ada', 'Your parcel is on its way')
  await page.locator('.toast').nth(1).waitFor()
  await take(page, 'held')

  await page.getByRole('button', { name: 'Mark as read' }).first().click()
  await page.getByRole('button', { name: 'Notifications of user ada' }).last().click()
  await page.getByText('read in another tab').waitFor()
  await page.clock.setSystemTime(start.getTime() + 42_000)
  await offlineSwitch(page, 'grace').uncheck()
  await page.locator('.toast').getByText('waited').nth(2).waitFor()
  await take(page, 'arrived')

  await page.getByRole('button', { name: 'Remove: user ada' }).first().click()
  await page.setViewportSize({ width: 390, height: 960 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await take(page, 'phone')
}

/** What is clicked has the focus and the pointer, which the picture shouldn't show. */
async function take (page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0)
  await page.locator(':focus').blur()
  await page.mouse.wheel(0, -10_000)
  await page.screenshot({ path: `${folder}${name}.png` })
}

async function connect (page: Page, userId: string): Promise<void> {
  await page.locator('#connect-user').fill(userId)
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByText('connected at').last().waitFor()
}

function offlineSwitch (page: Page, userId: string) {
  return page.getByRole('switch', { name: `Offline: user ${userId}` })
}

async function send (page: Page, name: 'Publish to the queue' | 'Call notify()', userId: string, content: string): Promise<void> {
  const form = page.getByRole('form', { name })
  await form.getByLabel('User id').fill(userId)
  await form.getByLabel('Content', { exact: true }).fill(content)
  await form.getByRole('button').click()
  await form.locator('output:not([data-state=waiting])').waitFor()
}
