import createError from '@fastify/error'
import { connect } from 'amqplib'

const TIMEOUT = 10_000 // ms, for all of it: a broker with a memory alarm confirms nothing until that is over

const PublishError = createError('EXAMPLE_PUBLISH_FAILED', 'could not publish: %s', 503)

/**
 * Publishes a message to a queue through the default exchange, as any other program would.
 *
 * Each on a connection of its own, as a form is sent seldom; a program that publishes often keeps one open.
 * @param amqpUrl the broker, if there is one
 * @param message is published as JSON
 * @returns when the broker has confirmed it
 * @throws EXAMPLE_PUBLISH_FAILED, which a route answers with 503
 */
export async function publish (amqpUrl: string | undefined, queue: string, message: unknown): Promise<void> {
  if (amqpUrl === undefined) throw new PublishError('the example runs without a RabbitMQ; where it was started, it says how to get one')
  const signal = AbortSignal.timeout(TIMEOUT)
  try {
    const socketOptions = { noDelay: true, signal }
    const connection = await connect(amqpUrl, socketOptions)
    connection.on('error', () => {}) // what is under way rejects
    try {
      const channel = await connection.createConfirmChannel()
      let returned = false
      channel.on('return', () => { returned = true })
      channel.sendToQueue(queue, Buffer.from(JSON.stringify(message)), { persistent: true, mandatory: true })
      await channel.waitForConfirms()
      if (returned) throw new Error(`there is no queue '${queue}'`)
    } finally {
      await connection.close().catch(() => {})
    }
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    throw new PublishError(signal.aborted ? `RabbitMQ did not confirm within ${TIMEOUT} ms` : message || code)
  }
}
