// The conversations of docs/conformance.json, with the server and with the client in Node.
import { test, type Test } from 'tap'
import type { NotificationPluginOptions } from '../src/index.js'
import type { NotifyResult } from '../src/notifier.js'
import { startApp } from './support/app.js'
import { testConversations, type SeenEvent } from './support/client-conformance.js'
import { connectClient, type TestClient } from './support/client.js'
import { casesFor, type Case } from './support/conformance.js'
import { createClient, next } from './support/notification-client.js'

const ANY = '*'

function optionsOf ({ options = {}, credentials }: Case): NotificationPluginOptions {
  const user = credentials === 'none' ? '' : 'somebody else'
  return { settle: 'acknowledged', ...options, ...(credentials !== undefined && { authenticate: () => user }) }
}

/** Checks that a frame has what is expected of it, and no more than that, but in a welcome. */
function checkFrame (t: Test, text: string, expected: Record<string, unknown>): void {
  const frame = JSON.parse(text)
  for (const [name, value] of Object.entries(expected)) {
    if (value === ANY) t.type(frame[name], 'string', name)
    else t.same(frame[name], value, name)
  }
  if (expected.type !== 'welcome') t.same(Object.keys(frame).toSorted(), Object.keys(expected).toSorted())
}

for (const conversation of await casesFor('server')) {
  test(`the server: ${conversation.name}`, async t => {
    const { app, notifications } = await startApp(t, optionsOf(conversation))
    const connect = async () => await connectClient(t, notifications('123'), {}, 'notification.v1')
    const results: Array<Promise<NotifyResult>> = []
    let client: TestClient = await connect()
    let count = 0
    for (const step of conversation.steps) {
      if ('server' in step) checkFrame(t, (await client.received(count + 1))[count++]!, step.server)
      else if ('client' in step) client.socket.send(JSON.stringify(step.client))
      else if ('wrong' in step) client.socket.send(step.wrong)
      else if ('application' in step) results.push(app.notifier.notify('123', step.application.content, step.application))
      else if ('outcome' in step) t.match(await results.shift(), { outcome: step.outcome })
      else if ('closed' in step) t.match(await client.closed, { code: step.closed })
      else if ('lost' in step) {
        client.socket.terminate()
        await client.closed
        await results[0] // by then the server has noticed it too
        client = await connect()
        count = 0
      }
    }
    t.equal(client.messages.length, count, 'no other frame has come')
  })
}

await testConversations('in Node', async (t, { url }, verdicts) => {
  const client = createClient(t, url, {
    onNotification () { if (verdicts.shift() !== 'done') throw new Error('can\'t') }
  })
  client.addEventListener('error', () => {})
  const seen: SeenEvent[] = []
  for (const type of ['notification', 'close', 'ended'] as const) {
    client.addEventListener(type, event => { seen.push({ type, state: client.state, ...('code' in event && { code: event.code }) }) })
  }
  return {
    async event (type, index) {
      const those = () => seen.filter(event => event.type === type)
      while (those().length <= index) await next(client, type)
      return those()[index]!
    },
    unused: () => verdicts
  }
})
