import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { errors } from '../errors.js'
import type { UpgradeContext } from '../options/values.js'
import type { Options } from '../options/schema.js'
import { withTimeout } from '../with-timeout.js'

/** How long the answers may take when the application closes, in milliseconds. */
const CLOSE_GRACE = 1_000

export type PendingDecisions = ReturnType<typeof createPendingDecisions>

/**
 * Runs the application's decisions about upgrades: `authenticate` and an `allowedOrigins` function. At most
 * `limits.pendingUpgrades` calls run at a time. No client waits for a call longer than `limits.upgradeTimeout`. A call
 * that goes on after its signal has aborted still counts: it still uses memory, and perhaps a database connection.
 */
export function createPendingDecisions ({ pendingUpgrades, upgradeTimeout }: Options['limits'], log: FastifyBaseLogger) {
  const running = new Set<AbortController>()
  /** The sockets of clients that wait for a decision. */
  const waiting = new Set<Socket>()
  /** Whether the warning about calls that ignore their signal has been logged. */
  let hasWarned = false
  let isClosing = false

  function countOverdue (): number {
    return [...running].filter(({ signal }) => signal.aborted).length
  }

  function warn (): void {
    const overdue = hasWarned ? 0 : countOverdue()
    if (overdue === 0) return
    hasWarned = true
    log.warn({ overdue, running: running.size, pendingUpgrades }, 'new connections are refused while calls of authenticate or allowedOrigins run on after their signal has aborted')
  }

  return {
    /**
     * Runs a decision.
     * @throws FST_NOTIFICATION_TOO_MANY_UPGRADES, FST_NOTIFICATION_UPGRADE_TIMEOUT, FST_NOTIFICATION_CLIENT_GONE,
     *   FST_NOTIFICATION_CLOSING, or what the decision throws
     */
    async run<T> ({ raw: { socket } }: FastifyRequest, decide: (context: UpgradeContext) => Promise<T>): Promise<T> {
      if (isClosing) throw new errors.Closing()
      if (running.size >= pendingUpgrades) {
        warn()
        throw new errors.TooManyUpgrades()
      }
      const controller = new AbortController()
      const { signal } = controller
      const onGone = () => controller.abort(new errors.ClientGone())
      const timer = setTimeout(() => controller.abort(new errors.UpgradeTimeout()), upgradeTimeout)
      // The event is 'end' if the client has closed its end, and 'close' if the connection was cut off.
      socket.once('end', onGone).once('close', onGone)
      running.add(controller)
      waiting.add(socket)
      const onEnd = () => {
        running.delete(controller)
        if (hasWarned && countOverdue() === 0) hasWarned = false
      }
      const decided = decide({ signal })
      decided.then(onEnd, onEnd)
      try {
        const decision = await Promise.race([decided, aborted(signal)])
        signal.throwIfAborted()
        return decision
      } catch (error) {
        throw signal.aborted ? signal.reason : error // not the error that the call made of the abort
      } finally {
        clearTimeout(timer)
        waiting.delete(socket)
        socket.off('end', onGone).off('close', onGone)
      }
    },

    /**
     * Aborts every call, because the application is closing.
     * @returns when the clients that waited have been answered, or after a second
     */
    async close (): Promise<void> {
      isClosing = true
      const answered = Promise.all(Array.from(waiting, async socket => { if (!socket.closed) await once(socket, 'close').catch(() => {}) }))
      for (const controller of running) controller.abort(new errors.Closing())
      await withTimeout(CLOSE_GRACE, answered)
    }
  }
}

/** Rejects when a signal aborts. */
async function aborted (signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
