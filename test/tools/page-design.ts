// How the example's page is to use: on a phone and a desktop, by several tabs, and by users who are refused.
import { t as file, test } from 'tap'
import { eventually } from '../support/eventually.js'
import {
  bell, card, connect, isInView, item, newUser, notify, openPage, overflow, publish, smallTargets, startExampleAndBrowser, toast
} from '../support/example-page.js'

const phone = { width: 390, height: 844 }
const desktop = { width: 1_280, height: 600 }

const { browser, example } = await startExampleAndBrowser(file)

for (const [name, viewport] of Object.entries({ phone, desktop })) {
  test(`on a ${name} what one sends is in view when it arrives`, async t => {
    const page = await openPage(t, browser, example)
    await page.setViewportSize(viewport)
    await page.clock.install()
    const users = Array.from({ length: 6 }, newUser)
    for (const user of users) await connect(page, user, { isListOpen: false })
    const last = users.at(-1)!
    await page.clock.pauseAt(Date.now() + 60_000) // no toast goes by itself
    await publish(page, last, 'hello world')
    await toast(page, last, 'hello world').waitFor()
    await eventually(() => isInView(page, toast(page, last, 'hello world')), 'the toast is in view')

    await bell(page, last, 1).click()
    for (let n = 0; n < 9; n++) await publish(page, last, `number ${n}`)
    await item(page, last, 'number 8').waitFor()
    await eventually(() => isInView(page, item(page, last, 'number 8')), 'the item of the open list is in view')
  })
}

test('what others send does not move the page', async t => {
  const page = await openPage(t, browser, example)
  await page.setViewportSize(phone)
  const users = Array.from({ length: 4 }, newUser)
  for (const user of users) await connect(page, user)
  const last = users.at(-1)!
  await publish(page, last, 'hello world')
  await item(page, last, 'hello world').waitFor()
  await page.keyboard.press('Home') // somebody does something else
  await eventually(async () => await page.evaluate('scrollY') === 0, 'at the top')
  await fetch(`${example.url}/notify/${last}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'from elsewhere' })
  await item(page, last, 'from elsewhere').waitFor()
  t.equal(await page.evaluate('scrollY'), 0)
})

test('each target is at least 44 pixels wide and high, and no page is wider than its window, whatever the words', async t => {
  const page = await openPage(t, browser, example)
  const long = `${newUser()}${'x'.repeat(200)}`
  await connect(page, long, { isListOpen: false, group: 'g'.repeat(200) })
  await connect(page, long, { isPlain: true })
  await publish(page, long, 'y'.repeat(300))
  for (const tab of [0, 1]) await card(page, long, tab).getByText('y'.repeat(300)).first().waitFor()
  for (const width of [320, phone.width, 900, desktop.width]) {
    await page.setViewportSize({ width, height: 800 })
    t.same(await smallTargets(page), [], `${width} pixels wide`)
    t.equal(await overflow(page), 0, `${width} pixels wide`)
  }
})

test('the tabs of one user stand together, and each has a name of its own', async t => {
  const page = await openPage(t, browser, example)
  const [user, other] = [newUser(), newUser()]
  for (const userId of [user, other, user]) await connect(page, userId)
  const person = page.getByRole('article', { name: `User ${user}`, exact: true })
  const tabs = () => person.getByRole('heading', { level: 4 }).allInnerTexts()
  t.same(await tabs(), ['Tab 1', 'Tab 2'])
  await card(page, user, 0).getByRole('button', { name: `Remove: user ${user}, tab 1` }).click()
  t.same(await tabs(), ['Tab 2'], 'it keeps its name')
  await page.getByRole('button', { name: 'Connect' }).click()
  t.same(await tabs(), ['Tab 2', 'Tab 3'], 'no two have the same name')
  for (const tab of [2, 3]) await person.getByRole('button', { name: `Remove: user ${user}, tab ${tab}` }).click()
  t.equal(await person.count(), 0)
  t.equal(await page.getByText('Nobody is connected yet.').isVisible(), false)
})

test('there is one user id, for connecting and sending, also after a reload', async t => {
  const page = await openPage(t, browser, example)
  const fields = () => page.getByLabel('User id').evaluateAll(inputs => inputs.map(input => (input as unknown as { value: string }).value))
  t.same(await fields(), ['ada', 'ada'])
  await page.locator('#connect-user').fill('grace')
  t.same(await fields(), ['grace', 'grace'])
  await page.locator('#send-user').fill('alan')
  t.same(await fields(), ['alan', 'alan'])
  await page.reload()
  t.same(await fields(), ['alan', 'alan'])
})

test('a user who is refused is told why in the form, and has no card', async t => {
  const page = await openPage(t, browser, example)
  const form = page.getByRole('form', { name: 'Receive' })
  const refuse = async (userId: string) => {
    await form.getByLabel('User id').fill(userId)
    await form.getByRole('button').click()
  }
  await refuse('mallory')
  await form.getByText('mallory was refused with code 4503: not allowed').waitFor()
  t.equal(await page.getByRole('article').count(), 0)
  await form.getByLabel('Plain WebSocket').check()
  await refuse('mallory')
  await form.getByText('mallory was refused with code 1006').waitFor()
  t.equal(await page.getByRole('article').count(), 0)

  await refuse('🙂'.repeat(100))
  t.equal(await form.getByLabel('User id').evaluate(input => (input as unknown as { validationMessage: string }).validationMessage), 'A user id has at most 255 bytes.')
  t.equal(await page.getByRole('article').count(), 0)

  const user = newUser()
  await connect(page, user)
  t.equal(await form.locator('output').innerText(), '', 'what was said of another one is gone')
})

test('a plain WebSocket that is taken offline before it is open was not refused', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  await page.evaluate(`document.querySelector('#connect [name=plain]').checked = true
    document.querySelector('#connect-user').value = ${JSON.stringify(user)}
    document.querySelector('#connect button').click()
    document.querySelector('.online').click()`)
  await card(page, user).getByText('with code 1006').waitFor()
  t.equal(await page.locator('#refusal').innerText(), '')
})

test('an outcome is a badge, with words beside it', async t => {
  const page = await openPage(t, browser, example)
  const user = newUser()
  const badge = page.getByRole('form', { name: 'Send' }).locator('.badge')
  await notify(page, user, 'early')
  t.equal(await badge.innerText(), 'held')
  await connect(page, user)
  await notify(page, user, 'hello world')
  t.equal(await badge.innerText(), 'acknowledged')
  await publish(page, user, 'hello world')
  t.equal(await badge.innerText(), 'published')
})
