import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { freePorts } from '../../support/network.mjs'
import type { Health, NotificationPluginOptions, StatsSnapshot } from '../../src/index.js'
import { eventually } from './eventually.js'
import { startProgram } from './process.js'

export interface Figures { health: Health, stats: StatsSnapshot }

/** An application in a process of its own, which may be ended and started again at the same address. */
export interface RestartableApp {
  /** Where a user's client connects. */
  notifications (userId: string): string
  figures (): Promise<Figures>
  /** Resolves when it consumes, and its hold works. */
  ready (): Promise<void>
  start (): Promise<void>
  /**
   * Asks it to end, as an operator does (SIGTERM).
   * @returns how it ended: the exit code, or the signal
   */
  terminate (): Promise<number | NodeJS.Signals>
  /** Ends it in the middle of whatever it does (SIGKILL). */
  kill (): Promise<void>
  /** Stops it as if its machine had no time for it (SIGSTOP), until it goes on (SIGCONT). */
  freeze (): void
  goOn (): void
}

/**
 * Starts `holding-instance.ts`.
 * @param options others than its own
 */
export async function startRestartableApp (
  t: Test, amqpUrl: string, queue: string, redisUrl: string, options: NotificationPluginOptions = {}
): Promise<RestartableApp> {
  const [port] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  let child: ChildProcess

  async function start (): Promise<void> {
    child = startProgram(t, 'test/support/holding-instance.ts', [amqpUrl, queue, redisUrl, String(port), JSON.stringify(options)])
    const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`it ended while it started: ${code ?? signal}`) })
    await Promise.race([once(child.stdout!, 'data'), ended])
    ended.catch(() => {})
  }

  async function end (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    const ended = once(child, 'exit')
    child.kill(signal)
    const [code, endedBy] = await ended
    return code ?? endedBy
  }

  async function figures (): Promise<Figures> {
    const response = await fetch(`http://${address}/figures`)
    return await response.json() as Figures
  }

  await start()
  return {
    notifications: userId => `ws://${address}/notification?userId=${userId}`,
    figures,
    async ready () {
      let health: Health | undefined
      await eventually(async () => {
        health = (await figures()).health
        return ['consuming', 'standby'].includes(health.state)
      }, 'the application consumes, or is on standby').catch((cause: unknown) => {
        throw new Error(`${(cause as Error).message}: ${JSON.stringify(health)}`, { cause })
      })
    },
    start,
    terminate: () => end('SIGTERM'),
    async kill () { await end('SIGKILL') },
    freeze () { child.kill('SIGSTOP') },
    goOn () { child.kill('SIGCONT') }
  }
}
