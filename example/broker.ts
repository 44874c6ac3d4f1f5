import { connect } from 'amqplib'
import { redactUrl } from '../src/options/redact-url.js'
import { startPrivateRabbitMQ } from '../support/private-rabbitmq.js'

/** The RabbitMQ that the example uses. */
export interface Broker {
  /** Where it is; undefined if there is none. */
  readonly amqpUrl: string | undefined
  /** What it is, without its password. */
  readonly description: string
  /** Removes it if it was started for the example. */
  remove (): Promise<void>
}

const none: Broker = { amqpUrl: undefined, description: 'none; only notify() works', async remove () {} }

const { AMQP_URL, LOCAL_AMQP_URL = 'amqp://localhost:5672' } = process.env

/**
 * Finds a RabbitMQ: that of `AMQP_URL` (`none`: do without), else the one on this machine, else a private one.
 * @param options where to look, how to start a private one, and where to say what takes time
 * @returns what was found, or no broker where none can be had
 */
export async function findBroker ({
  amqpUrl = AMQP_URL,
  localUrl = LOCAL_AMQP_URL,
  startPrivate = startPrivateRabbitMQ,
  print = console.log
} = {}): Promise<Broker> {
  if (amqpUrl === 'none') return none
  if (amqpUrl) return existing(amqpUrl, 'from AMQP_URL')

  const refusal = await tryToConnect(localUrl)
  if (refusal === undefined) return existing(localUrl, 'found on this machine')

  print(`No RabbitMQ at ${redactUrl(localUrl)} (${refusal}), so the example gets one of its own. That takes some seconds.`)
  try {
    const rabbitmq = await startPrivate({ log: print })
    return {
      amqpUrl: rabbitmq.url,
      description: `${redactUrl(rabbitmq.url)}, a private RabbitMQ that goes when the example ends`,
      remove: rabbitmq.remove
    }
  } catch (error) {
    print((error as Error).message)
    return none
  }
}

function existing (amqpUrl: string, origin: string): Broker {
  return { amqpUrl, description: `${redactUrl(amqpUrl)}, ${origin}`, async remove () {} }
}

/** An open port says little: only a login shows a RabbitMQ that we may use. */
async function tryToConnect (amqpUrl: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(5_000)
  try {
    const socketOptions = { noDelay: true, signal }
    const connection = await connect(amqpUrl, socketOptions)
    connection.on('error', () => {}) // close() rejects
    await connection.close()
    return undefined
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    return signal.aborted ? 'it does not answer' : message || code
  }
}
