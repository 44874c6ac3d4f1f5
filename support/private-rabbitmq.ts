import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { findRabbitMQ, type RabbitMQSource } from './rabbitmq/install.js'

export { RabbitMQUnavailableError, type RabbitMQSource } from './rabbitmq/install.js'

/** What a private node may be told. */
export interface PrivateRabbitMQOptions {
  /** Told what takes time. @default nothing is logged */
  log?: (line: string) => void
  /** Whether a missing server may be installed with apt-get. @default true */
  install?: boolean
  /** Plugins to enable. Mind that some open ports of their own. @default [] */
  plugins?: string[]
  /** Lines of rabbitmq.conf. @default {} */
  config?: Record<string, string>
}

/** A RabbitMQ node of one's own. It goes when the process that started it goes, whichever way. */
export interface PrivateRabbitMQ extends AsyncDisposable {
  /** `amqp://guest:guest@127.0.0.1:PORT`, the same for the node's whole life. */
  readonly url: string
  readonly port: number
  readonly source: RabbitMQSource
  /**
   * Starts the node again, with the same data and port, after `stop()`, `kill()` or its own end.
   * @returns once it answers AMQP connections; at once if it runs
   * @throws {PrivateRabbitMQError} with the end of the node's log where it doesn't start, or is killed or removed meanwhile
   */
  start (): Promise<void>
  /**
   * Stops the node in order and keeps its data.
   * @returns once it is gone
   * @throws {PrivateRabbitMQError} where it takes more than 30 s
   */
  stop (): Promise<void>
  /**
   * Kills the node (SIGKILL), frozen or starting too, and keeps its data. Mind that RabbitMQ itself
   * loses a quorum queue that was declared less than about two seconds before.
   * @returns once it is gone
   * @throws {PrivateRabbitMQError} where the supervisor is gone
   */
  kill (): Promise<void>
  /**
   * Halts the node's process (SIGSTOP): its connections stay open and fall silent.
   * @returns once it is told
   * @throws {PrivateRabbitMQError} where the node doesn't run
   */
  freeze (): Promise<void>
  /**
   * Lets a frozen node go on (SIGCONT).
   * @returns once it is told
   * @throws {PrivateRabbitMQError} where the node doesn't run
   */
  resume (): Promise<void>
  /**
   * Runs `rabbitmqctl --quiet` on this node.
   * @param args its command and arguments
   * @returns what it printed
   * @throws {PrivateRabbitMQError} with what it printed on stderr where it fails
   */
  ctl (...args: string[]): Promise<string>
  /**
   * Kills the node and everything that belongs to it, and deletes its folder. May be called again.
   * @returns once nothing is left
   * @throws {PrivateRabbitMQError} where something can't be removed
   */
  remove (): Promise<void>
}

/** Thrown where a private node can't do what it was asked; the message says why. */
export class PrivateRabbitMQError extends Error {
  readonly code = 'PRIVATE_RABBITMQ_FAILED'
  override readonly name = 'PrivateRabbitMQError'
}

/**
 * Starts a RabbitMQ node in a temporary folder, on free ports of 127.0.0.1. The event loop stays alive
 * until `remove()`.
 * @param options what to enable, and where to log
 * @returns the node, once it answers AMQP connections
 * @throws {RabbitMQUnavailableError} where there is no RabbitMQ and none can be got
 * @throws {PrivateRabbitMQError} with the end of the node's log where it doesn't start
 */
export async function startPrivateRabbitMQ (
  { log, install = true, plugins = [], config = {} }: PrivateRabbitMQOptions = {}
): Promise<PrivateRabbitMQ> {
  const source = await findRabbitMQ({ install, log })
  log?.(`starting a private RabbitMQ (${source === 'docker' ? 'in Docker' : 'installed server'})`)
  const startedAt = performance.now()

  const supervisor = startSupervisor()
  let port: number
  try {
    port = await supervisor.request('create', { source, plugins, config }) as number
  } catch (error) {
    await supervisor.remove()
    throw error
  }
  log?.(`RabbitMQ answers on port ${port} after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)

  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    source,
    async start () { await supervisor.request('start') },
    async stop () { await supervisor.request('stop') },
    async kill () { await supervisor.request('kill') },
    async freeze () { await supervisor.request('freeze') },
    async resume () { await supervisor.request('resume') },
    async ctl (...args) { return await supervisor.request('ctl', args) as string },
    remove: supervisor.remove,
    [Symbol.asyncDispose]: supervisor.remove
  }
}

interface Answer { id: number, value?: unknown, error?: string }

function startSupervisor () {
  // The test runner's and the TypeScript loader's settings are for this process only.
  const { NODE_OPTIONS, NODE_V8_COVERAGE, ...env } = process.env
  const child = spawn(process.execPath, [fileURLToPath(new URL('./rabbitmq/supervisor.mjs', import.meta.url))], {
    detached: true, // a session of its own: the terminal's Ctrl-C is for us, who then tell it
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env
  })
  const gone = once(child, 'exit').catch(() => {}) // a failed spawn is told to the requests
  const pending = new Map<number, { resolve (value: unknown): void, reject (error: Error): void }>()
  let lastId = 0
  let removal: Promise<void> | undefined

  const failAll = (reason: string) => {
    for (const { reject } of pending.values()) reject(new PrivateRabbitMQError(reason))
    pending.clear()
  }
  child.on('message', ({ id, value, error }: Answer) => {
    const request = pending.get(id)
    pending.delete(id)
    if (error === undefined) request?.resolve(value)
    else request?.reject(new PrivateRabbitMQError(error))
  })
  child.on('error', (error) => failAll(`the supervisor of RabbitMQ failed: ${error.message}`))
  child.on('exit', () => failAll('the supervisor of RabbitMQ is gone'))

  async function request (command: string, argument?: unknown): Promise<unknown> {
    if (!child.connected) throw new PrivateRabbitMQError('the node was removed')
    return await new Promise((resolve, reject) => {
      const id = ++lastId
      pending.set(id, { resolve, reject })
      child.send({ id, command, argument }, (error) => {
        if (!error || !pending.delete(id)) return
        reject(new PrivateRabbitMQError(`the supervisor of RabbitMQ can't be told: ${error.message}`))
      })
    })
  }

  async function removeOnce (): Promise<void> {
    try {
      if (child.connected) await request('remove')
    } finally {
      if (child.connected) child.disconnect()
      await gone
    }
  }

  return { request, remove: () => (removal ??= removeOnce()) }
}
