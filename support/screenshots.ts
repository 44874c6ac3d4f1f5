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
    await takeReact(await browser.newPage({ viewport: { width: 1100, height: 640 }, colorScheme: 'light', reducedMotion: 'reduce', locale: 'en-GB' }), `${url}/react/`)
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

  await onlineSwitch(page, 'grace').uncheck()
  await page.getByText('offline since').waitFor()
  await send(page, 'Call notify()', 'grace', 'Table 4 is free now')
  await send(page, 'Publish', 'grace', 'Invoice 2026-118 was paid')
  await send(page, 'Publish', 'ada', 'Your parcel is on its way')
  await page.locator('.toast').nth(1).waitFor()
  await send(page, 'Call notify()', 'grace', 'Alan wrote to you')
  await take(page, 'held')

  await page.getByRole('button', { name: 'Mark as read' }).first().click()
  await page.getByRole('button', { name: 'Notifications of user ada' }).last().click()
  await page.getByText('read in another tab').waitFor()
  await page.clock.setSystemTime(start.getTime() + 42_000)
  await onlineSwitch(page, 'grace').check()
  await page.locator('.toast').getByText('waited').nth(2).waitFor()
  await take(page, 'arrived')

  await page.getByRole('button', { name: 'Remove: user ada' }).first().click()
  await page.setViewportSize({ width: 390, height: 844 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await send(page, 'Publish', 'ada', 'Your parcel is at the door')
  await page.getByText('Your parcel is at the door').last().waitFor()
  await page.evaluate('document.activeElement.blur()')
  await page.screenshot({ path: `${folder}phone.png` }) // where the page is after sending
}

async function takeReact (page: Page, url: string): Promise<void> {
  await page.clock.install({ time: new Date(2026, 0, 15, 10, 24) })
  await page.goto(url)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('connected', { exact: true }).waitFor()
  for (const content of ['Your parcel is on its way', 'Invoice 2026-118 was paid', 'Table 4 is free now']) {
    await page.getByLabel('Content').fill(content)
    await page.getByRole('button', { name: 'Send' }).click()
    await page.locator('.toast', { hasText: content }).waitFor()
  }
  await take(page, 'react')

  await page.getByRole('button', { name: 'Notifications' }).click()
  await page.getByRole('listitem').last().getByRole('button', { name: 'Mark as read' }).click()
  await page.setViewportSize({ width: 390, height: 720 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await take(page, 'react-phone')
}

/** What is clicked has the focus and the pointer, which the picture shouldn't show. */
async function take (page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0)
  await page.evaluate('document.activeElement?.blur()')
  await page.mouse.wheel(0, -10_000)
  await page.screenshot({ path: `${folder}${name}.png` })
}

async function connect (page: Page, userId: string): Promise<void> {
  await page.locator('#connect-user').fill(userId)
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByText('connected at').last().waitFor()
}

function onlineSwitch (page: Page, userId: string) {
  return page.getByRole('switch', { name: `Online: user ${userId}` })
}

async function send (page: Page, button: 'Publish' | 'Call notify()', userId: string, content: string): Promise<void> {
  const form = page.getByRole('form', { name: 'Send' })
  await form.getByLabel('User id').fill(userId)
  await form.getByLabel('Content', { exact: true }).fill(content)
  await form.getByRole('button', { name: button }).click()
  await form.locator('output:not([data-state=waiting])').waitFor()
}
