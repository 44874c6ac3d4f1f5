import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProgram } from './support/process.js'
import { connectRich } from './support/rich-client.js'
import type { MemoryOfUnsettled } from './support/memory-of-unsettled.js'
import type { StatsSnapshot } from '../src/index.js'

const MiB = 2 ** 20

/** A content of many small objects, which take far more memory than their JSON. */
const OBJECTS = `[${Array(340_000).fill('{}').join()}]`

test('fault 92: with a heap of 256 MiB, no messages within the limits end the process, and larger ones are dead-lettered one after the other', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const program = startProgram(t, 'test/support/small-heap.ts', [broker.url, queue], {}, ['--max-old-space-size=256'])
  const [port] = await once(program.stdout!, 'data')
  const look = async () => {
    program.send('look')
    const [seen] = await once(program, 'message')
    return seen as { peak: number, stats: StatsSnapshot }
  }
  await connectClient(t, `ws://127.0.0.1:${String(port).trim()}/notification?userId=here`)
  await broker.publish(queue, ...Array.from({ length: 60 }, (_, n) => `{"userId":"${n % 2 === 0 ? 'here' : 'nobody'}","content":${OBJECTS}}`))
  await broker.publish(queue, ...Array.from({ length: 30 }, () => Buffer.alloc(15 * MiB, 'x')))
  await eventually(async () => (await look()).stats.deadLettered['too-large'] === 30, 'all are dead-lettered')
  const { stats: { sent, offline }, peak } = await look()
  t.equal(sent + offline, 60)
  t.equal((await broker.channel.checkQueue(`${queue}.dead`)).messageCount, 30)
  t.ok(peak < 250 * MiB, `${Math.round(peak / MiB)} MiB of bodies at once`)
})

test('fault 92: messages that wait take a bounded amount of memory; the connection stays, and nothing is lost or out of order', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const seen: number[] = []
  const waiting: Array<() => void> = []
  let isOpen = false
  const { app, notifications } = await startApp(t, {
    amqpUrl: `${broker.url}${broker.url.includes('?') ? '&' : '?'}heartbeat=3`,
    queue,
    limits: { unsettledBytes: 16 * MiB, decodeTimeout: 600_000 },
    async decode (message) {
      const { n } = message.json() as { n: number }
      seen.push(n)
      if (!isOpen) await new Promise<void>(resolve => waiting.push(resolve))
      return { userId: '123', content: n }
    }
  })
  const client = await connectClient(t, notifications('123'))
  const text = 'x'.repeat(100_000)
  await broker.publish(queue, ...Array.from({ length: 300 }, (_, n) => ({ n, text })))
  await eventually(() => seen.length > 0, 'the first has come')
  await delay(10_000) // three heartbeats, two of which may be missed
  t.ok(seen.length < 20, `${seen.length} of 300 were taken`)
  t.equal(app.notifier.health().state, 'consuming')
  isOpen = true
  for (const resolve of waiting) resolve()
  t.same((await client.received(300)).map(Number), Array.from({ length: 300 }, (_, n) => n))
  t.same(seen, Array.from({ length: 300 }, (_, n) => n), 'each came once')
})

test('fault 92: what is counted for messages that wait is what they take', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const program = startProgram(t, 'test/support/memory-of-unsettled.ts', [broker.url, queue], {}, ['--expose-gc'])
  const [port] = await once(program.stdout!, 'data')
  const look = async () => {
    program.send('look')
    const [seen] = await once(program, 'message')
    return seen as MemoryOfUnsettled
  }
  const client = await connectRich(t, `ws://127.0.0.1:${String(port).trim()}/notification?userId=123`)
  let received = 0
  for (const [what, count, content] of [
    ['the first ones, which make what is made once for any number', 8_000, 'x'],
    ['short', 8_000, 'x'.repeat(100)],
    ['short with wide characters', 8_000, 'あ'.repeat(100)],
    ['of 4 KB', 2_000, 'x'.repeat(4_000)],
    ['of 4 KB with wide characters', 2_000, 'あ'.repeat(4_000)],
    ['of 100 KiB', 200, 'x'.repeat(100 * 1_024)],
    ['of 100 KiB with wide characters', 100, 'あ'.repeat(100 * 1_024)],
    ['of 1 MiB', 20, 'x'.repeat(MiB)],
    ['an object of 1 MiB', 20, { text: 'x'.repeat(MiB) }]
  ] as const) {
    const before = await look()
    // The encoded form of the last one is kept, whatever waits.
    await broker.publish(queue, ...Array.from({ length: count }, () => ({ userId: '123', content })), { userId: '123', content: 'last' })
    const frames = (await client.framesReceived(received + count + 1)).slice(received)
    const after = await look()
    t.equal(after.unsettled, count + 1)
    const taken = Math.round((after.used - before.used) / count)
    const counted = Math.round((after.counted - before.counted) / count)
    const noise = 2 * MiB / count // what the application had before may be collected at any time
    if (received > 0) t.ok(counted >= 0.95 * taken - noise && counted <= 1.2 * taken + noise, `${what}: each takes ${taken} bytes, and counts ${counted}`)
    for (const { id } of frames) client.ack(id!)
    received += frames.length
    await eventually(async () => (await look()).unsettled === 0, 'all are acknowledged')
  }
})
