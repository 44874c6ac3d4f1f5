// What it takes to read a message out of what a connection has received, by amqplib and by the plugin, and to decode it:
// npx tsx bench/delivery-reader.ts
import type { ChannelModel } from 'amqplib'
import { readDeliveries } from '../src/rabbitmq/delivery-reader.js'
import { decodeMessage } from '../src/rabbitmq/message.js'
import { bodyFrame, CONSUMER_TAG, defs, openScripted } from '../test/support/scripted-amqp.js'
import { summarize } from './statistics.js'

const ROUNDS = 9
const CHUNKS = 200
const MESSAGES = 300

const body = Buffer.from(JSON.stringify({ userId: 'user-123', content: 'x'.repeat(100) }))
const messages = {
  'without properties': {},
  'with properties, ten headers and traceparent': {
    contentType: 'application/json',
    deliveryMode: 2,
    messageId: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    timestamp: 1_700_000_000,
    type: 'order',
    appId: 'shop',
    headers: {
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', ...Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`header-${n}`, n % 3 === 0 ? n : `value ${n}`]))
    }
  }
}

function chunkOf (properties: object): Buffer {
  return Buffer.concat(Array.from({ length: MESSAGES }, (_, n) => [
    defs.encodeMethod(defs.BasicDeliver, 1, { consumerTag: CONSUMER_TAG, deliveryTag: n + 1, redelivered: false, exchange: '', routingKey: 'hello' }),
    defs.encodeProperties(defs.BasicProperties, 1, body.length, properties),
    bodyFrame(1, body)
  ]).flat())
}

/** Microseconds of processor time for each message. */
async function measure (receive: (chunk: Buffer) => Promise<void>, chunk: Buffer): Promise<number> {
  const before = process.cpuUsage()
  for (let n = 0; n < CHUNKS; n++) await receive(Buffer.from(chunk))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (CHUNKS * MESSAGES)
}

const open = async (install: (model: ChannelModel) => unknown) => await openScripted(1, install, message => decodeMessage(message, 1_048_576), { keepsEvents: false })
for (const [what, properties] of Object.entries(messages)) {
  const chunk = chunkOf(properties)
  const readers = { amqplib: await open(() => {}), 'delivery reader': await open(readDeliveries) }
  const times: Record<string, number[]> = { amqplib: [], 'delivery reader': [] }
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, { receive }] of Object.entries(readers)) {
      const time = await measure(receive, chunk)
      if (round > 0) times[name]!.push(time)
    }
  }
  for (const [name, values] of Object.entries(times)) {
    const { median, min, max } = summarize(values)
    console.log(`a message ${what}, ${name}: ${median.toFixed(2)} µs (${min.toFixed(2)}–${max.toFixed(2)})`)
  }
}
