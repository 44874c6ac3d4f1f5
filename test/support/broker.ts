import { randomUUID } from 'node:crypto'
import { connect, type ConfirmChannel, type GetMessage, type Options } from 'amqplib'
import { t as file, type Test } from 'tap'
import { startPrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import { eventually } from './eventually.js'

/** A message as the tests write it. */
export type Body = object | string | Buffer

/** What a test does to a broker from outside: with a connection of its own, not the plugin's. */
export interface TestBroker {
  readonly url: string
  readonly channel: ConfirmChannel
  /** A queue name that no other test uses; the queue and its dead-letter queue are deleted after the test. */
  queueName (): string
  /** Publishes through the default exchange; resolves when the broker has confirmed every one. */
  publish (queue: string, ...bodies: Body[]): Promise<void>
  publishWith (properties: Options.Publish, queue: string, ...bodies: Body[]): Promise<void>
  /**
   * Takes every message out of a queue.
   * @param least how many there are: what a channel leaves behind comes back to its queue some time after it has closed
   */
  takeAll (queue: string, least?: number): Promise<GetMessage[]>
}

let sharedUrl: Promise<string> | undefined

/** The broker that the test run shares, or one for the whole file where a test file is run alone. */
export async function useBroker (t: Test): Promise<TestBroker> {
  sharedUrl ??= process.env.TEST_AMQP_URL === undefined ? startForThisFile() : Promise.resolve(process.env.TEST_AMQP_URL)
  return await connectTo(t, await sharedUrl)
}

async function startForThisFile (): Promise<string> {
  const node = await startPrivateRabbitMQ()
  file.teardown(() => node.remove())
  return node.url
}

/** A connection of the test's own to a broker, closed after it. */
export async function connectTo (t: Test, url: string): Promise<TestBroker> {
  const connection = await connect(url, { noDelay: true })
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  const queues: string[] = []
  t.teardown(async () => {
    for (const queue of queues) await channel.deleteQueue(queue).catch(() => {})
    await connection.close().catch(() => {}) // the test may have ended the broker
  })

  const take = (queue: string) => channel.get(queue, { noAck: true })

  const broker: TestBroker = {
    url,
    channel,
    queueName () {
      const queue = `test-${randomUUID()}`
      queues.push(queue, `${queue}.dead`)
      return queue
    },
    publish: (queue, ...bodies) => broker.publishWith({ persistent: true }, queue, ...bodies),
    async publishWith (properties, queue, ...bodies) {
      for (const body of bodies) channel.sendToQueue(queue, toBuffer(body), properties)
      await channel.waitForConfirms()
    },
    async takeAll (queue, least = 0) {
      const messages: GetMessage[] = []
      await eventually(async () => {
        for (let message = await take(queue); message !== false; message = await take(queue)) messages.push(message)
        return messages.length >= least
      }, `${least} messages in ${queue}`)
      return messages
    }
  }
  return broker
}

function toBuffer (body: Body): Buffer {
  if (Buffer.isBuffer(body)) return body
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}
