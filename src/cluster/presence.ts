import { errors } from '../errors.js'
import type { Receipt } from './protocol.js'

export type Presence = ReturnType<typeof createPresence>

export interface PresenceParts {
  /** How long an answer may take, in milliseconds. */
  timeout: number
  nextId (): number
  /** Asks all who have the user; told whether there is one, undefined where it isn't known. */
  publish (userId: string, probe: number, done: (isRouted: boolean | undefined) => void): void
}

/** Asks the other instances whether they have a user. */
export function createPresence ({ timeout, nextId, publish }: PresenceParts) {
  const probes = new Map<number, (answer: 'taken' | 'nobody') => void>()

  return {
    /**
     * Whether a user has a connection on another instance. An instance that was asked and has none is not bound any more
     * when it answers: the next try reaches another one, or nobody.
     * @throws FST_NOTIFICATION_PUBLISH_TIMEOUT
     */
    async isElsewhere (userId: string): Promise<boolean> {
      const late = new Error()
      let timer: NodeJS.Timeout | undefined
      const deadline = new Promise<never>((_resolve, reject) => { timer = setTimeout(reject, timeout, late) })
      const asked: number[] = []
      try {
        while (true) {
          const id = nextId()
          asked.push(id)
          const answer = await Promise.race([deadline, new Promise<'taken' | 'nobody' | 'returned'>(resolve => {
            probes.set(id, resolve)
            publish(userId, id, isRouted => { if (isRouted === false) resolve('returned') })
          })])
          if (answer !== 'nobody') return answer === 'taken'
        }
      } catch (error) {
        throw error === late ? new errors.PublishTimeout('the other instances', timeout) : error
      } finally {
        clearTimeout(timer)
        for (const id of asked) probes.delete(id)
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
