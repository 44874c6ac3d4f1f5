// Messages to many on one instance: who gets what, and what becomes of those who fail.
import { test } from 'tap'
import { FanOut, type Failed } from '../../src/delivery/fan-out.js'
import { Groups } from '../../src/delivery/groups.js'
import { Multicast, type Audience, type Summary } from '../../src/delivery/multicast.js'
import { composePayload } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import { MemoryMessage, MemorySubscriber, settleDown, startInstance } from '../support/core.js'

/** A connection that keeps what it was sent, and may throw. */
class Tab extends MemorySubscriber {
  readonly payloads: Payload[] = []
  isBroken = false

  override send (payload: Payload, redelivered: boolean): boolean {
    if (this.isBroken) throw new RangeError('broken')
    this.payloads.push(payload)
    return super.send(payload, redelivered)
  }
}

function start (settle: 'sent' | 'acknowledged' = 'sent') {
  const { dispatcher, subscribers } = startInstance({ settle })
  const groups = new Groups()
  const observed: Summary[] = []
  const fanOut = new FanOut({ dispatcher, everybody: subscribers, groups, observer: { fannedOut: (_multicast, _origin, summary) => observed.push(summary) } })
  const tabs = ['a', 'b', 'c'].map(userId => {
    const tab = new Tab(userId, settle === 'acknowledged')
    subscribers.add(tab)
    groups.add(tab, 'g')
    return tab
  }) as [Tab, Tab, Tab]
  return { dispatcher, fanOut, groups, observed, tabs }
}

const payload = composePayload({ n: 1 }, 'x')
const named: Audience = { userIds: new Set(['a', 'b', 'c']) }
const group: Audience = { group: 'g', except: new Set() }
const everybody: Audience = { group: undefined, except: new Set() }

for (const [whom, audience] of [['several users', named], ['a group', group], ['everybody', everybody]] as const) {
  test(`a message for ${whom} is one payload for all, so that it is encoded once`, async t => {
    const { fanOut, tabs, observed } = start()
    t.match(await fanOut.deliver(new Multicast(audience, payload), new MemoryMessage()), { users: 3, connections: 3, outcomes: { sent: 3 } })
    for (const tab of tabs) t.equal(tab.payloads[0], payload)
    t.equal(observed.length, 1)
  })

  test(`of a message for ${whom}, one who fails fails alone: the others get it once, and it is settled when all have their outcome`, async t => {
    for (const settle of ['sent', 'acknowledged'] as const) {
      const { dispatcher, fanOut, tabs } = start(settle)
      tabs[1].isBroken = true
      const failures: string[] = []
      const failed: Failed = async ({ userId }, error) => {
        failures.push(`${userId}: ${(error as Error).message}`)
        return 'dead-lettered'
      }
      const delivered = Promise.resolve(fanOut.deliver(new Multicast(audience, payload), new MemoryMessage(), failed))
      await settleDown()
      for (const tab of tabs) dispatcher.acknowledged(tab, ['x'])
      const outcome = settle === 'sent' ? { sent: 2 } : { acknowledged: 2 }
      t.same({ ...await delivered }, { users: 3, connections: 2, outcomes: { ...outcome, 'dead-lettered': 1 } })
      t.same(failures, ['b: broken'])
      t.same(tabs.map(({ sent }) => sent.length), [1, 0, 1])
    }
  })

  test(`a message for ${whom} of which nobody takes the failures fails, and the others get it nevertheless`, async t => {
    const { fanOut, tabs } = start()
    tabs[0].isBroken = true
    await t.rejects(Promise.resolve(fanOut.deliver(new Multicast(audience, payload), new MemoryMessage())), { message: 'broken' })
    t.same(tabs.map(({ sent }) => sent.length), [0, 1, 1])
  })
}

test('what a peer asks for never fails: who fails counts as offline', async t => {
  const { fanOut, tabs, observed } = start()
  tabs[0].isBroken = true
  t.same({ ...await fanOut.deliverForPeer({ group: 'g', except: new Set(['c']) }, payload, true) }, { users: 2, connections: 1, outcomes: { sent: 1, offline: 1 } })
  t.same(tabs[1].sent, [{ id: 'x', redelivered: true }])
  t.same(observed, [], 'it is measured where it was taken')
})

test('a message for a group, or for everybody, is not for the users of except, and not for other connections of the members', async t => {
  const { fanOut, groups, tabs } = start()
  groups.delete(tabs[0], 'g')
  t.match(await fanOut.deliver(new Multicast({ group: 'g', except: new Set(['c', 'nobody']) }, payload), new MemoryMessage()), { users: 1 })
  t.match(await fanOut.deliver(new Multicast({ group: undefined, except: new Set(['c']) }, payload), new MemoryMessage()), { users: 2 })
  t.match(await fanOut.deliver(new Multicast({ group: 'nobody', except: new Set() }, payload), new MemoryMessage()), { users: 0, outcomes: {} })
  t.same(tabs.map(({ sent }) => sent.length), [1, 2, 0])
})
