import { errors } from '../errors.js'
import type { Receipt } from './protocol.js'

export type Presence = ReturnType<typeof createPresence>

export interface PresenceParts {
  /** How long an answer may take until it is asked for again, in milliseconds; and in all. */
  receiptTimeout: number
  timeout: number
  nextId (): number
  /** Asks all who have the user; told whether there is one, undefined where it isn't known. */
  publish (userId: string, probe: number, done: (isRouted: boolean | undefined) => void): void
}

type Answer = 'taken' | 'nobody' | 'returned' | 'none'

/** Asks the other instances whether they have a user. */
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
     * Whether a user has a connection on another instance. An instance that was asked and has none is not bound any more
     * when it answers: the next try reaches another one, or nobody. So does one after the end of an instance.
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

    /** @returns false for the receipt of something else */
    receipt ([id, state]: Receipt): boolean {
      const answer = probes.get(id)
      if (answer === undefined) return false
      answer(state === 'nobody' ? 'nobody' : 'taken')
      return true
    }
  }
}
