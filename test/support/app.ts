import { EventEmitter, on } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { inTime } from './eventually.js'
import { printOnFailure } from './failure-log.js'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'

export interface LogLine { level: number, msg: string, [property: string]: unknown }

export interface TestApp {
  readonly app: FastifyInstance
  /** The notification route for a user. */
  notifications (userId: string): string
  /** The same server, any path. */
  at (pathAndQuery: string): string
  readonly log: TestLog
}

export interface TestLog {
  readonly lines: LogLine[]
  /** The first line with this message, whether it is there already or yet to come. */
  line (msg: string): Promise<LogLine>
  readonly stream: { write (line: string): void }
}

/** What the application logs, to look at and to wait for; printed if the test fails. */
export function createLog (t: Test): TestLog {
  const onFailure = printOnFailure(t, 'the application')
  const lines: LogLine[] = []
  const events = new EventEmitter()
  return {
    lines,
    async line (msg) {
      const there = lines.find(line => line.msg === msg)
      if (there !== undefined) return there
      return await inTime(async signal => {
        for await (const [line] of on(events, 'line', { signal })) if (line.msg === msg) return line
      }, () => `'${msg}' logged, after '${lines.at(-1)?.msg}'`)
    },
    stream: {
      write (text) {
        onFailure.write(text)
        const line = JSON.parse(text)
        lines.push(line)
        events.emit('line', line)
      }
    }
  }
}

/** Warnings at start that are not about the test: the application authenticates nobody, and the machine opens few files. */
const STARTING = ['no authenticate option', 'limits.connections is above']

/** The warnings and errors that were logged, without {@link STARTING}. */
export function warningsIn ({ lines }: TestLog): LogLine[] {
  return lines.filter(({ level, msg }) => level >= 40 && !STARTING.some(start => msg.startsWith(start)))
}

/** A Fastify that is closed after the test, with its log. */
export function createApp (t: Test): { app: FastifyInstance, log: TestLog } {
  const log = createLog(t)
  // The time that a hook may take: the broker is shared, and may be slow to answer on a busy machine.
  const app = Fastify({ logger: { level: 'debug', stream: log.stream }, pluginTimeout: 20_000 })
  t.teardown(() => app.close())
  return { app, log }
}

/** A listening application with the plugin. */
export async function startApp (t: Test, options: NotificationPluginOptions, prepare?: (app: FastifyInstance) => unknown): Promise<TestApp> {
  const { app, log } = createApp(t)
  await prepare?.(app)
  await app.register(notificationPlugin, options)
  return { ...await listen(app), log }
}

/** Lets an application listen on a free port of the loopback interface. */
export async function listen (app: FastifyInstance): Promise<Omit<TestApp, 'log'>> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const at = (pathAndQuery: string) => `ws://127.0.0.1:${port}${pathAndQuery}`
  return { app, at, notifications: userId => at(`/notification?userId=${encodeURIComponent(userId)}`) }
}
