// The page of the example with React.
import type { BrowserContext, Page } from 'playwright-core'
import { t as file, test, type Test } from 'tap'
import { connectClient, refusal } from '../support/client.js'
import { newUser, overflow, smallTargets, startExample, startExampleAndBrowser, type Example } from '../support/example-page.js'

const { browser, example } = await startExampleAndBrowser(file)

/** A browser of its own: its tabs share a session. */
async function openBrowser (t: Test): Promise<BrowserContext> {
  const context = await browser.newContext()
  context.setDefaultTimeout(120_000)
  t.teardown(() => context.close())
  return context
}

async function openTab (t: Test, context: BrowserContext, { url }: Example = example): Promise<Page> {
  const tab = await context.newPage()
  tab.on('pageerror', error => t.fail(`error in the page: ${error.message}`))
  await tab.goto(`${url}/react/`)
  return tab
}

const connected = (tab: Page) => tab.getByText('connected', { exact: true }).waitFor()
const signInForm = (tab: Page) => tab.getByRole('form', { name: 'Sign in' })
const bell = (tab: Page, unread: number) => tab.getByRole('button', { name: `Notifications: ${unread} unread`, exact: true })
const toast = (tab: Page, content: string) => tab.locator('.toast').filter({ has: tab.getByText(content, { exact: true }) })
const inbox = (tab: Page) => tab.getByRole('region', { name: 'Notifications' })
const listed = async (tab: Page) => await inbox(tab).locator('.content').allTextContents()

async function signIn (tab: Page, userId: string): Promise<void> {
  await signInForm(tab).getByLabel('User id').fill(userId)
  await signInForm(tab).getByRole('button').click()
  await connected(tab)
}

/** From another program, as it were. @returns what became of it */
async function notify (userId: string, content: unknown, { url }: Example = example): Promise<string> {
  const response = await fetch(`${url}/notify/${userId}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(content) })
  return (await response.json() as { outcome: string }).outcome
}

test('what arrives is a toast, a number at the bell, and in the list that the bell opens', async t => {
  const tab = await openTab(t, await openBrowser(t))
  const user = newUser()
  await signIn(tab, user)
  await bell(tab, 0).click()
  await inbox(tab).getByText('Nothing has arrived yet.').waitFor()
  await tab.keyboard.press('Escape')
  await inbox(tab).waitFor({ state: 'detached' })

  const html = '<img src="x" onerror="document.title = \'broken\'">'
  for (const content of ['one', { order: 7 }, html]) t.equal(await notify(user, content), 'acknowledged')
  await toast(tab, html).waitFor()
  t.same(await tab.locator('.toast .content').allTextContents(), [html, '{"order":7}', 'one'])
  t.equal(await tab.locator('.toast img').count(), 0, 'it is text, never HTML')
  t.equal(await tab.locator('.count').innerText(), '3')

  await toast(tab, 'one').getByRole('button', { name: 'Mark as read' }).press('Enter')
  await bell(tab, 2).waitFor()
  t.equal(await toast(tab, 'one').count(), 0)

  await bell(tab, 2).press('Enter')
  t.same(await listed(tab), [html, '{"order":7}', 'one'])
  t.equal(await tab.locator('.toast').count(), 0, 'the list shows them all')
  t.equal(await inbox(tab).getByRole('listitem').filter({ has: tab.getByRole('button') }).count(), 2, 'two are new')
  await inbox(tab).getByRole('button', { name: 'Mark all as read' }).click()
  await bell(tab, 0).waitFor()
  t.equal(await tab.locator('.count').count(), 0)
  await tab.getByRole('heading', { name: 'fastify-notification' }).click()
  await inbox(tab).waitFor({ state: 'detached' })
})

test('a toast makes room for newer ones, and goes when its time is over; the notification stays unread', async t => {
  const tab = await openTab(t, await openBrowser(t))
  const user = newUser()
  await tab.clock.install()
  await signIn(tab, user)
  for (const content of ['one', 'two', 'three', 'four']) await notify(user, content)
  await toast(tab, 'four').waitFor()
  t.same(await tab.locator('.toast .content').allTextContents(), ['four', 'three', 'two'])
  await tab.clock.fastForward(8_000)
  await toast(tab, 'four').waitFor({ state: 'detached' })
  await bell(tab, 4).waitFor()
})

test('both tabs of a user show what arrives, and what is read in one is read in the other', async t => {
  const context = await openBrowser(t)
  const [tab, user] = [await openTab(t, context), newUser()]
  await signIn(tab, user)
  const other = await openTab(t, context)
  await connected(other)
  for (const content of ['one', 'two']) t.equal(await notify(user, content), 'acknowledged')
  for (const each of [tab, other]) {
    await bell(each, 2).waitFor()
    await toast(each, 'two').waitFor()
  }
  await tab.bringToFront()
  await toast(tab, 'one').getByRole('button').click()
  await bell(other, 1).waitFor()
  t.equal(await toast(other, 'one').count(), 0)
  await other.bringToFront() // a tab behind another one is slow to be clicked
  await bell(other, 1).click()
  await inbox(other).getByRole('button', { name: 'Mark all as read' }).click()
  await bell(tab, 0).waitFor()
})

test('what one sends is answered with what became of it', async t => {
  const tab = await openTab(t, await openBrowser(t))
  const user = newUser()
  await signIn(tab, user)
  const form = tab.getByRole('form', { name: 'Send a notification' })
  t.equal(await form.getByLabel('User id').inputValue(), user)
  await form.getByRole('button').click()
  await form.getByText('A client has it.').waitFor()
  await toast(tab, 'hello world').waitFor()

  const other = newUser()
  await form.getByLabel('User id').fill(other)
  await form.getByRole('button').click()
  await form.getByText('Nobody is connected: kept until somebody is.').waitFor()
  const elsewhere = await openTab(t, await openBrowser(t))
  await signIn(elsewhere, other)
  await toast(elsewhere, 'hello world').waitFor()

  await form.getByLabel('User id').fill('🙂'.repeat(100))
  await form.getByRole('button').click()
  await form.getByText('userId must be a string of 1 to 255 bytes').waitFor()
})

test('who signs out is signed out on the server, in each tab; the session of another device stays', async t => {
  const context = await openBrowser(t)
  const [tab, user] = [await openTab(t, context), newUser()]
  await signIn(tab, user)
  const other = await openTab(t, context)
  await connected(other)
  const device = await openTab(t, await openBrowser(t))
  await signIn(device, user)
  const cookies = await context.cookies()
  const session = cookies.find(({ name }) => name === 'session')!
  t.match(session, { httpOnly: true, sameSite: 'Lax' })
  const copied = { headers: { cookie: `session=${session.value}` } }
  const url = `${example.url.replace('http', 'ws')}/notification?session&userId=${user}`
  const copy = await connectClient(t, url, copied)

  device.on('websocket', () => t.fail('the other device stays connected'))
  await tab.bringToFront()
  await tab.getByRole('button', { name: 'Sign out' }).click()
  await signInForm(tab).waitFor()
  await signInForm(other).getByText('You have signed out.').waitFor()
  await connected(device)
  t.equal((await copy.closed).code, 4502)
  t.equal((await refusal(url, copied)).statusCode, 401, 'a cookie that somebody has copied is worth nothing')
  t.notOk((await context.cookies()).some(({ name }) => name === 'session'))
  t.equal(await notify(user, 'still here'), 'acknowledged')
  await toast(device, 'still here').waitFor()

  await tab.reload()
  await signInForm(tab).waitFor()
})

test('where somebody else signs in before a tab has noticed, the tab begins anew, as that user', async t => {
  const context = await openBrowser(t)
  const [tab, user, other] = [await openTab(t, context), newUser(), newUser()]
  await signIn(tab, user)
  const second = await context.newPage()
  await second.clock.install()
  let loseConnection = async () => {}
  await second.routeWebSocket('**/notification?**', socket => {
    const server = socket.connectToServer()
    loseConnection = async () => { await Promise.all([socket.close({ code: 1001 }), server.close()]) }
  })
  await second.goto(`${example.url}/react/`)
  await connected(second)
  await notify(user, 'for the first one')
  await toast(second, 'for the first one').waitFor()
  await second.clock.pauseAt(Date.now() + 5_000) // it does not connect again until it runs on
  await loseConnection()
  await second.getByText('not connected, tries again').waitFor()
  await tab.bringToFront()
  await tab.getByRole('button', { name: 'Sign out' }).click()
  await signIn(tab, other)
  await second.clock.resume()
  await second.bringToFront()
  await second.getByText(other, { exact: true }).waitFor()
  await connected(second)
  t.equal(await notify(other, 'for the second one'), 'acknowledged')
  await toast(second, 'for the second one').waitFor()
  await bell(second, 1).click()
  t.same(await listed(second), ['for the second one'])
})

test('a session that expires leads to the form for signing in, and its cookie to nothing', async t => {
  const short = await startExample(t, { SESSION_SECONDS: '15' })
  const context = await openBrowser(t)
  const tab = await openTab(t, context, short)
  const user = newUser()
  await signIn(tab, user)
  t.equal(await notify(user, 'early', short), 'acknowledged')
  await signInForm(tab).getByText('Your session has expired.').waitFor()
  t.equal(await notify(user, 'while nobody was signed in', short), 'held')
  await signIn(tab, user)
  await toast(tab, 'while nobody was signed in').waitFor()
  await bell(tab, 1).click()
  t.same(await listed(tab), ['while nobody was signed in'], 'the list begins anew')
})

test('the page says so where the server does not answer, and goes on when it is back', async t => {
  const own = await startExample(t)
  const tab = await openTab(t, await openBrowser(t), own)
  await signIn(tab, newUser())
  await own.stop()
  await tab.getByText('not connected, tries again').waitFor()
  await tab.getByRole('button', { name: 'Sign out' }).click()
  await tab.getByText('You are still signed in. The server does not answer.').waitFor()
  await own.start()
  await tab.evaluate('dispatchEvent(new Event("online"))') // it need not wait until its next attempt
  await signInForm(tab).getByText('You have signed out.').waitFor() // its sessions were in memory
})

test('the page fits a phone and a desktop', async t => {
  for (const viewport of [{ width: 320, height: 640 }, { width: 1_280, height: 800 }]) {
    const context = await openBrowser(t)
    const tab = await openTab(t, context)
    await tab.setViewportSize(viewport)
    const user = newUser()
    await signIn(tab, user)
    await notify(user, 'x'.repeat(300))
    await toast(tab, 'x'.repeat(300)).waitFor()
    await bell(tab, 1).click()
    await inbox(tab).waitFor()
    const { width } = viewport
    t.equal(await overflow(tab), 0, `nothing is wider than ${width}`)
    t.same(await smallTargets(tab), [])
    const box = (await inbox(tab).boundingBox())!
    t.ok(box.x >= 0 && box.x + box.width <= width, 'the list is seen as a whole')
  }
})
