// The conversations of docs/conformance.json, with the client in a page.
import type { Browser } from 'playwright-core'
import { t as file } from 'tap'
import { launchChromium } from '../../support/chromium.js'
import { testConversations, type SeenEvent, type Verdict } from '../support/client-conformance.js'
import { openClientPage, type ClientPage } from '../support/client-page.js'

declare const page: ClientPage & { seen: SeenEvent[], verdicts: Verdict[] }

let browser: Browser

file.before(async () => { browser = await launchChromium() })
file.teardown(() => browser?.close())

await testConversations('in a page', async (t, { url }, verdicts) => {
  const tab = await openClientPage(t, browser, `${url}/idle`)
  await tab.evaluate(verdicts => {
    const seen: SeenEvent[] = []
    const client = new page.NotificationClient('/notification', {
      reconnect: { initialDelay: 5, maxDelay: 20 },
      onNotification () { if (verdicts.shift() !== 'done') throw new Error('can\'t') }
    })
    client.addEventListener('error', () => {})
    for (const type of ['notification', 'close', 'ended'] as const) {
      client.addEventListener(type, event => { seen.push({ type, state: client.state, ...('code' in event && { code: event.code }) }) })
    }
    Object.assign(page, { seen, verdicts })
  }, verdicts)
  return {
    async event (type, index) {
      const event = await tab.waitForFunction(([type, index]) => page.seen.filter(event => event.type === type)[index], [type, index] as const)
      return await event.jsonValue() as SeenEvent
    },
    unused: () => tab.evaluate(() => page.verdicts)
  }
})
