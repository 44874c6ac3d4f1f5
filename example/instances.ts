import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { printBanner } from './banner.js'
import { findBroker } from './broker.js'

/** Whether this process is one of several. */
export const isInstance = process.env.EXAMPLE_INSTANCE === 'true'

/**
 * Starts several servers, on PORT and those that follow, or each on a free one where PORT is 0. One that ends is
 * reported, and the others go on.
 * @returns when all have ended
 */
export async function startInstances (count: number): Promise<void> {
  const { PORT = '8080', QUEUE: queue = 'hello', REDIS_URL: redis } = process.env
  const broker = await findBroker()
  const { amqpUrl } = broker
  if (amqpUrl === undefined) throw new Error('several instances share a queue, so they need a RabbitMQ')

  const instances = Array.from({ length: count }, (_, n) => fork(fileURLToPath(new URL('server.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, EXAMPLE_INSTANCE: 'true', AMQP_URL: amqpUrl, PORT: PORT === '0' ? '0' : String(Number(PORT) + n) }
  }))
  let isStopping = false
  function stop (signal: NodeJS.Signals): void {
    isStopping = true
    for (const instance of instances) instance.kill(signal)
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)

  const ended = instances.map(async (instance, n): Promise<undefined> => {
    const [code, signal] = await once(instance, 'exit')
    if (!isStopping) console.error(`Instance ${n + 1} of ${count}, process ${instance.pid}, has ended with ${signal ?? code}.`)
  })
  /** What each instance says next; one that ends says nothing. */
  async function answers (): Promise<Array<string | undefined>> {
    const messages = await Promise.all(instances.map((instance, n) => Promise.race([once(instance, 'message'), ended[n]])))
    return messages.map(message => message?.[0] as string | undefined)
  }
  function tell (message: ToInstance): void {
    for (const instance of instances) if (instance.connected) instance.send(message, () => {}) // it may end at this moment
  }

  const told = await answers()
  const runningUrls = () => told.filter((url, n): url is string => url !== undefined && instances[n]!.exitCode === null && instances[n]!.signalCode === null)
  // In two steps: when a page learns of the instances, each of them lets the pages of all others in.
  const allKnow = answers()
  tell({ urls: runningUrls(), isFinal: false })
  await allKnow
  const urls = runningUrls()
  tell({ urls, isFinal: true })
  if (urls.length > 0 && !isStopping) {
    printBanner({
      urls,
      broker: `${broker.description}; queue '${queue}'`,
      held: redis ? 'in Redis, at REDIS_URL' : 'nothing, as several instances hold in Redis only: give them a REDIS_URL'
    })
  }

  await Promise.all(ended)
  if (!isStopping) process.exitCode = 1
  await broker.remove()
}

/** What an instance is told: where all of them listen; at last, that all of them know it. */
interface ToInstance { readonly urls: readonly string[], readonly isFinal: boolean }

/** What an instance knows of the others. */
export interface Instances {
  /** The URLs of all instances, as far as they are known. */
  readonly urls: string[]
  /** Resolves when every instance knows them, or this one closes. */
  readonly allKnow: Promise<void>
}

/**
 * What a server does as one of several: it tells the process that started it where it listens, learns where all do, and
 * ends when that process has ended.
 */
export function joinInstances (app: FastifyInstance): Instances {
  const urls: string[] = []
  const allKnow = new Promise<void>(resolve => {
    process.on('message', (message: ToInstance) => {
      urls.splice(0, urls.length, ...message.urls)
      if (message.isFinal) resolve()
      else process.send!('knows', () => {}) // who asked may have ended
    })
    app.addHook('preClose', async () => resolve()) // a request that waits for it would keep the server from closing
  })
  process.on('disconnect', () => app.close())
  app.addHook('onListen', async () => { process.send!(urlOf(app)) })
  app.addHook('onClose', async () => { if (process.connected) process.disconnect() })
  return { urls, allKnow }
}

export function urlOf (app: FastifyInstance): string {
  return `http://localhost:${(app.server.address() as AddressInfo).port}`
}
