import { errors } from '../errors.js'
import type { Receipt } from './protocol.js'

export type Presence = ReturnType<typeof createPresence>

export interface PresenceParts {
  /** How long to wait for an answer before asking again, in milliseconds; and how long in total. */
  receiptTimeout: number
  timeout: number
  nextId (): number
  /** Asks all instances that have the user. `done` gets whether there is one; undefined if unknown. */
  publish (userId: string, probe: number, done: (isRouted: boolean | undefined) => void): void
}

type Answer = 'taken' | 'nobody' | 'returned' | 'none'

/** Asks the peers whether a user is connected to them. */
export function createPresence ({ receiptTimeout, timeout, nextId, publish }: PresenceParts) {
  const probes = new Map<number, (answer: Answer) => void>()

  async function ask (userId: string, patience: number): Promise<Answer> {
    const id = nextId()
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Answer>(resolve => {
        probes.set(id, resolve)
        timer = setTimeout(resolve, patience, 'none')
        publish(userId, id, isRouted => { if (isRouted === false) resolve('returned') })
      })
    } finally {
      clearTimeout(timer)
      probes.delete(id)
    }
  }

  return {
    /**
     * Whether a user has a connection on a peer. A peer without one unbinds the user before it answers. The next
     * attempt then reaches another peer, or none. The same holds after a peer has ended.
     * @throws FST_NOTIFICATION_PUBLISH_TIMEOUT
     */
    async isElsewhere (userId: string): Promise<boolean> {
      for (const deadline = performance.now() + timeout; ;) {
        const left = deadline - performance.now()
        if (left <= 0) throw new errors.PublishTimeout('the other instances', timeout)
        const answer = await ask(userId, Math.min(receiptTimeout, left))
        if (answer === 'taken') return true
        if (answer === 'returned') return false
      }
    },

    /** @returns false if the receipt is not for a probe */
    receipt ([id, state]: Receipt): boolean {
      const answer = probes.get(id)
      if (answer === undefined) return false
      answer(state === 'nobody' ? 'nobody' : 'taken')
      return true
    }
  }
}
