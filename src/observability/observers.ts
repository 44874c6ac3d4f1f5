import type { FastifyBaseLogger } from 'fastify'
import type { Observer } from '../delivery/doors.js'
import { withoutText } from '../without-text.js'

type Event = Exclude<keyof Observer, 'run'>

/**
 * Combines several observers into one, which calls them in order. Each has the events that it needs, as functions without
 * `this`. An observer may throw: a span processor or a
 * histogram of the application may fail. That does not change the outcome of a message, and the others are called too.
 */
export function combineObservers (observers: ReadonlyArray<Partial<Observer>>, log: FastifyBaseLogger): Observer {
  const reported = new Set<Event>()

  /** Logs only the first failure of each event, because every message may cause one. */
  function report (event: Event, error: unknown): void {
    if (reported.has(event)) return
    reported.add(event)
    log.error({ event, error: withoutText(error) }, 'observer failed')
  }

  function toAll<E extends Event> (event: E): Observer[E] {
    const handlers = observers.flatMap(observer => observer[event] ?? []) as Array<(...told: unknown[]) => void>
    return ((...told: unknown[]) => {
      for (const handle of handlers) {
        try {
          handle(...told)
        } catch (error) {
          report(event, error)
        }
      }
    }) as Observer[E]
  }

  const run = observers.find(observer => observer.run !== undefined)?.run
  return {
    received: toAll('received'),
    rejected: toAll('rejected'),
    hosted: toAll('hosted'),
    settled: toAll('settled'),
    failed: toAll('failed'),
    abandoned: toAll('abandoned'),
    settledLate: toAll('settledLate'),
    ...(run && { run })
  }
}
