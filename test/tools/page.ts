import { readFile } from 'node:fs/promises'
import { t as file, test } from 'tap'
import { healthStates } from '../../src/observability/health.js'
import { eventually } from '../support/eventually.js'
import {
  bell, card, connect, goOffline, item, listed, newUser, notify, online, openPage, publish, startExample, toast, watchState,
  startExampleAndBrowser, type Example
} from '../support/example-page.js'

const { browser, example } = await startExampleAndBrowser(file)

/** How many messages of the queue have been held so far. */
async function heldFromQueue ({ url }: Example): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(/^fastify_notification_delivery_since_consumption_seconds_count\{.*outcome="held".*\} (\d+)/m.exec(metrics)?.[1] ?? 0)
}

test('what is published for a group is shown to those in it, and what is for everybody to everybody', async t => {
  const page = await openPage(t, browser, example)
  const [member, other] = [newUser(), newUser()]
  await connect(page, member, { group: 'team:7' })
  await connect(page, other)
  await card(page, member).getByText('team:7').waitFor()
  const form = page.getByRole('form', { name: 'Send' })
  const send = async (content: string) => {
    await form.getByLabel('Content', { exact: true }).fill(content)
    await form.getByRole('button', { name: 'Publish' }).click()
  }
  await form.getByLabel('To').selectOption('a group')
  await form.getByLabel('Group').fill('team:7')
  await send('for the team')
  await item(page, member, 'for the team').waitFor()
  await form.getByLabel('To').selectOption('everybody')
  t.equal(await form.getByLabel('Group').isVisible(), false)
  await send('for everybody')
  for (const user of [member, other]) await item(page, user, 'for everybody').waitFor()
  t.same(await listed(page, other), ['for everybody'])
})

test('what is published for one user is shown to that user, in each tab, and to nobody else', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const other = newUser()
  await connect(page, user)
  await connect(page, user)
  await connect(page, other)

  t.equal(await publish(page, user, 'hello world'), `published It is in the queue “${page.example.queue}”.`)
  await publish(page, other, 'for another user')

  for (const tab of [0, 1]) {
    await item(page, user, 'hello world', tab).waitFor()
    t.same(await listed(page, user, tab), ['hello world'])
  }
  await item(page, other, 'for another user').waitFor()
  t.same(await listed(page, other), ['for another user'])
})

test('a content is shown as text, never as HTML, and JSON as its text', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await connect(page, user, { isListOpen: false })
  const html = '<img src="x" onerror="document.title = \'broken\'"><b>bold</b>'
  await publish(page, user, html)
  await toast(page, user, html).waitFor()
  await bell(page, user, 1).click()
  await item(page, user, html).waitFor()
  t.equal(await card(page, user).locator('b, img').count(), 0)
  t.equal(await page.title(), 'fastify-notification')

  await publish(page, user, '{ "order": 7 }', { json: true })
  await item(page, user, '{"order":7}').waitFor()

  const form = page.getByRole('form', { name: 'Send' })
  await form.getByLabel('Content', { exact: true }).fill('{ order')
  await form.getByRole('button', { name: 'Publish' }).click()
  await form.getByText('The content is not JSON').waitFor()
})

test('notify() answers with its outcome', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  t.match(await notify(page, user, 'early'), 'held Kept until the user connects.\n0 connections · id ')
  await connect(page, user)
  t.match(await notify(page, user, 'hello world'), 'acknowledged A client has it.\n1 connection · id ')
  await connect(page, user)
  t.match(await notify(page, user, '[1]', { json: true }), 'acknowledged A client has it.\n2 connections · id ')
  t.same(await listed(page, user), ['early', 'hello world', '[1]'])
  t.match(await notify(page, 'a\tb', 'hi'), 'failed 400 Bad Request: userId must be a string of 1 to 255 bytes')
})

test('the bell counts what nobody has read; opened, it lists it', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await connect(page, user, { isListOpen: false })
  for (const content of ['one', 'two', 'three']) await publish(page, user, content)
  await bell(page, user, 3).waitFor()
  t.equal(await card(page, user).locator('.count').innerText(), '3')

  await toast(page, user, 'two').getByRole('button', { name: 'Mark as read' }).press('Enter')
  await bell(page, user, 2).waitFor()
  t.equal(await toast(page, user, 'two').count(), 0)
  t.equal(await toast(page, user, 'one').getByRole('button').evaluate(button => button === (button as unknown as { ownerDocument: { activeElement: unknown } }).ownerDocument.activeElement), true,
    'the focus is where one can go on')

  await bell(page, user, 2).press('Enter')
  await item(page, user, 'three').waitFor()
  t.same(await listed(page, user), ['one', 'two', 'three'])
  await bell(page, user, 0).waitFor()
  t.equal(await card(page, user).locator('.toast').count(), 0)
  t.equal(await card(page, user).locator('.count').isVisible(), false)

  t.match(await notify(page, user, 'four'), 'acknowledged')
  await item(page, user, 'four').waitFor()
  t.equal(await card(page, user).locator('.toast').count(), 0, 'where the list is open there is no toast')
})

test('a toast that nobody closes makes room: for a newer one, or when its time is over', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await page.clock.install()
  await connect(page, user, { isListOpen: false })
  for (const content of ['one', 'two', 'three', 'four']) await publish(page, user, content)
  await toast(page, user, 'four').waitFor()
  t.same(await card(page, user).locator('.toast .content').allTextContents(), ['two', 'three', 'four'])
  await page.clock.fastForward(10_000)
  await toast(page, user, 'four').waitFor({ state: 'detached' })
  await bell(page, user, 4).waitFor()
})

test('what is sent to a page that is offline is held, and arrives in order when it is back', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const other = newUser()
  await connect(page, user, { isListOpen: false })
  await connect(page, other)
  await goOffline(page, user)
  t.match(await notify(page, user, 'one'), 'held Kept until the user connects.\n0 connections · id ')
  const heldBefore = await heldFromQueue(example)
  await publish(page, user, 'two')
  await eventually(async () => await heldFromQueue(example) > heldBefore, 'held, from the queue')
  t.match(await notify(page, user, 'three'), 'held')
  t.match(await notify(page, other, 'still here'), 'acknowledged')
  t.same(await listed(page, user), [])

  await online(page, user).press('Space')
  await card(page, user).getByText('connected at').waitFor()
  await bell(page, user, 3).waitFor()
  for (const content of ['one', 'two', 'three']) await toast(page, user, content).getByText(/^waited \d+ s$/).waitFor()
  await bell(page, user, 3).click()
  t.same(await listed(page, user), ['one', 'two', 'three'])
  t.match(await notify(page, user, 'four'), 'acknowledged')
  t.equal(await item(page, user, 'four').locator('.mark').count(), 0, 'what has not waited is not marked')
})

test('a tab that is offline says that what is sent waits, unless another tab of its user gets it', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const waits = (tab: number) => card(page, user, tab).getByText('What is sent to this user now waits').isVisible()
  await connect(page, user)
  await connect(page, user)
  await goOffline(page, user)
  t.match(await notify(page, user, 'one'), 'acknowledged')
  t.equal(await waits(0), false)
  await online(page, user, 1).uncheck()
  await card(page, user, 1).getByText('offline since').waitFor()
  t.same([await waits(0), await waits(1)], [true, true])
  t.match(await notify(page, user, 'two'), 'held')
})

test('where the browser restores a choice, notify() waits for a user to be chosen', async t => {
  const page = await openPage(t, browser, example)
  // As a browser does that restores forms: before the script runs.
  await page.route('**/recipient.js', async route => {
    await page.locator('#send-to').evaluate(select => { (select as unknown as { value: string }).value = 'group' })
    await route.continue()
  })
  await page.reload()
  await page.getByRole('button', { name: 'Publish' }).and(page.locator(':enabled')).waitFor()
  const call = page.getByRole('button', { name: 'Call notify()', exact: true })
  t.equal(await call.isDisabled(), true)
  await page.getByLabel('To').selectOption('a user')
  t.equal(await call.isEnabled(), true)
})

test('the page works where the browser blocks the data of sites', async t => {
  const page = await openPage(t, browser, example)
  await page.addInitScript("Object.defineProperty(window, 'localStorage', { get () { throw new DOMException('blocked', 'SecurityError') } })")
  await page.reload()
  const user = newUser()
  await connect(page, user)
  t.match(await notify(page, user, 'hello world'), 'acknowledged')
})

test('what becomes of a message is announced: its live region is there before anything is in it', async t => {
  const page = await openPage(t, browser, example)
  t.match(await page.getByRole('form', { name: 'Send' }).ariaSnapshot(), '- status')
  t.equal(await page.locator('#connect output').evaluate(element => (globalThis as unknown as { getComputedStyle (of: unknown): { display: string } }).getComputedStyle(element).display), 'block')
})

test('what a user has read in one tab leaves the other tab', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const other = await page.openTab()
  await connect(page, user, { isListOpen: false })
  await connect(other, user, { isListOpen: false })
  await publish(page, user, 'hello world')
  await bell(page, user, 1).waitFor()
  await bell(other, user, 1).waitFor()

  await toast(page, user, 'hello world').getByRole('button', { name: 'Mark as read' }).click()
  await toast(other, user, 'hello world').waitFor({ state: 'detached' })
  await bell(other, user, 0).click()
  await item(other, user, 'hello world').getByText('read in another tab').waitFor()
  await bell(page, user, 0).click()
  t.equal(await item(page, user, 'hello world').locator('.mark').count(), 0)
})

test('what was shown and not read when the page went is delivered again, and marked', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await connect(page, user, { isListOpen: false })
  await publish(page, user, 'hello world')
  await toast(page, user, 'hello world').waitFor()
  await page.reload()
  await connect(page, user, { isListOpen: false })
  await toast(page, user, 'hello world').getByText('perhaps seen before').waitFor()
})

test('a plain WebSocket is enough to receive', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await connect(page, user, { isPlain: true })
  t.match(await notify(page, user, '{ "order": 7 }', { json: true }), 'sent Handed to a WebSocket.\n1 connection · id ')
  await item(page, user, '{"order":7}').waitFor()
  await goOffline(page, user)
  t.match(await notify(page, user, 'missed'), 'held')
  await online(page, user).check()
  await item(page, user, 'missed').waitFor()
})

test('a lost connection says so, with its code, and comes back by itself, with what was held', async t => {
  const page = await openPage(t, browser, await startExample(t))
  await connect(page, '123')
  await connect(page, '456', { isPlain: true })
  t.match(await notify(page, '789', 'hello world'), 'held')
  const wasInState = await watchState(page, '123')
  await page.example.stop()
  await wasInState('closed with code 1001: server shutting down. Connects again in')
  await wasInState('closed with code 1006: the connection broke or was refused. Connects again in')
  await page.getByRole('status').getByText('does not answer').waitFor()
  t.equal(await online(page, '123').isChecked(), true)
  await card(page, '456').getByText('with code 1001: server shutting down').waitFor()
  t.equal(await online(page, '456').isChecked(), false, 'a plain one stays closed')
  await card(page, '456').getByRole('button', { name: 'Remove' }).press('Enter')

  await page.example.start()
  await card(page, '123').getByText('connected at').waitFor()
  await connect(page, '789')
  await item(page, '789', 'hello world').waitFor()
  for (const userId of ['123', '789']) await card(page, userId).getByRole('button', { name: 'Remove' }).click()
  await page.getByText('Nobody is connected yet.').waitFor()
})

test('the page says how the server is', async t => {
  const page = await openPage(t, browser, await startExample(t))
  await page.getByRole('status').getByText('consuming from RabbitMQ').waitFor()

  const without = await openPage(t, browser, await startExample(t, { AMQP_URL: 'none' }))
  await without.getByRole('status').getByText('no RabbitMQ').waitFor()
  t.match(await publish(without, '123', 'hello world'), 'failed 503 Service Unavailable: could not publish: the example runs without a RabbitMQ')
  await connect(without, '123')
  t.match(await notify(without, '123', 'hello world'), 'acknowledged')

  await without.route('**/ready', route => route.fulfill({ json: { state: 'hold-failing', ready: true } }))
  await without.getByRole('status').getByText('cannot reach what it holds').waitFor()
  const source = await readFile(new URL('../../example/public/health.js', import.meta.url), 'utf8')
  for (const state of healthStates) t.match(source, new RegExp(`^  '?${state}'?: '`, 'm'), `the page has words for ${state}`)
})

test('several instances: users on each of them get theirs, once, whichever takes it', async t => {
  const page = await openPage(t, browser, await startExample(t, {}, ['--instances', '3']))
  const ports = await page.getByLabel('Instance').getByRole('option').allInnerTexts()
  t.equal(new Set(ports).size, 3)
  t.equal(await page.getByLabel('Instance').inputValue(), new URL(page.url()).origin)
  for (const [n, userId] of ['123', '456', '789'].entries()) {
    await connect(page, userId, { instance: n })
    await card(page, userId).getByText(`on ${ports[n]}`).waitFor()
  }
  await connect(page, '123', { instance: 2 })

  const contents = Array.from({ length: 9 }, (_, n) => `number ${n}`)
  for (const content of contents) for (const userId of ['123', '456', '789']) await publish(page, userId, content)
  for (const [userId, tab] of [['123', 0], ['123', 1], ['456', 0], ['789', 0]] as const) {
    await item(page, userId, 'number 8', tab).waitFor()
    t.same(await listed(page, userId, tab), contents)
  }
  t.match(await notify(page, '456', 'hello world'), 'acknowledged A client has it.\n1 connection · id ')
  // The first ack is the outcome: another instance may not have said by then that it has handed the notification over.
  t.match(await notify(page, '123', 'hello world'), /^acknowledged A client has it\.\n(1 connection|2 connections) · id /)
  t.match(await notify(page, 'nobody', 'hello world'), 'offline')
})

test('nothing can be sent before the page is ready to send it', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const loaded: Array<() => Promise<void>> = []
  await page.route('**/page.js', route => { loaded.push(() => route.continue()) })
  await page.reload({ waitUntil: 'commit' })
  for (const name of ['Connect', 'Publish', 'Call notify()']) {
    t.equal(await page.getByRole('button', { name, exact: true }).isDisabled(), true, `${name} waits for the script`)
  }
  await loaded[0]!()
  await connect(page, user)
  t.match(await notify(page, user, 'hello world'), 'acknowledged')
})

test('the page offers the instances as soon as the server answers, however late that is', async t => {
  const page = await openPage(t, browser, await startExample(t))
  const answers = [null, ['http://localhost:1', new URL(page.url()).origin]]
  await page.route('**/instances', route => {
    const urls = answers.shift()
    return urls === null ? route.abort() : route.fulfill({ json: urls })
  })
  await page.reload()
  await page.locator('#connect-instance').waitFor()
  t.equal(await page.getByLabel('Instance').inputValue(), new URL(page.url()).origin)
})

test('where there is one instance the page offers none to choose', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await connect(page, user)
  t.equal(await page.locator('.instance:visible').count(), 0)
})
