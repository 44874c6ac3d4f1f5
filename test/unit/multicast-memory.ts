import { test } from 'tap'
import { FanOut } from '../../src/delivery/fan-out.js'
import { Groups } from '../../src/delivery/groups.js'
import { Multicast, type Audience } from '../../src/delivery/multicast.js'
import { composePayload } from '../../src/delivery/notification.js'
import { QueueMessage } from '../../src/rabbitmq/queue-message.js'
import { ChannelBytes, UnsettledBytes } from '../../src/rabbitmq/unsettled-bytes.js'
import { settleDown, startInstance } from '../support/core.js'

const users = Array.from({ length: 100 }, (_, n) => `user ${n}`)

for (const [whom, audience] of [
  ['named users', { userIds: new Set(users) }],
  ['everybody', { group: undefined, except: new Set<string>() }]
] satisfies Array<[string, Audience]>) {
  test(`fault 92: a message for ${whom} counts the memory of those who have no outcome yet`, async t => {
    const memory = new UnsettledBytes(Infinity)
    const { connect, dispatcher, subscribers } = startInstance({}, { windowSize: { count: 1_000, bytes: Infinity } })
    const fanOut = new FanOut({ dispatcher, everybody: subscribers, groups: new Groups(), observer: { fannedOut () {} } as never })
    const clients = users.map(userId => connect(userId))
    const message = { content: Buffer.from('{}'), fields: { redelivered: false }, properties: {} } as never
    const arrived = new QueueMessage(message, 'queue', new AbortController().signal, undefined as never, undefined, new ChannelBytes(memory))
    arrived.isShared = true
    const summary = fanOut.deliver(new Multicast(audience, composePayload('hi', 'x')), arrived)
    arrived.occupy()
    t.equal(memory.bytes, arrived.bytes + 100 * 1_200)
    for (const client of clients.slice(0, 60)) dispatcher.acknowledged(client, ['x'])
    await settleDown()
    t.equal(memory.bytes, arrived.bytes + 40 * 1_200)
    arrived.release() // before the last outcomes are counted
    for (const client of clients.slice(60)) dispatcher.acknowledged(client, ['x'])
    t.match(await summary, { users: 100, outcomes: { acknowledged: 100 } })
    t.equal(memory.bytes, 0)
  })
}
