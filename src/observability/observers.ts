import type { FastifyBaseLogger } from 'fastify'
import type { Observer } from '../delivery/doors.js'
import { withoutText } from '../without-text.js'

type Event = Exclude<keyof Observer, 'run'>

/** An event has five arguments at most. */
type Handler = (...told: [first?: unknown, second?: unknown, third?: unknown, fourth?: unknown, fifth?: unknown]) => void

/**
 * Combines several observers into one, which calls them in order. Each has the methods that it needs. An observer may
 * throw: a span processor or a histogram of the application may fail. That does not change the outcome of a message, and
 * the others are called too.
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
    const handlers = observers.flatMap(observer => observer[event]?.bind(observer) ?? []) as Handler[]
    // Every message comes by here: a rest parameter would make an array for each call.
    const handleAll: Handler = (first, second, third, fourth, fifth) => {
      for (const handle of handlers) {
        try {
          handle(first, second, third, fourth, fifth)
        } catch (error) {
          report(event, error)
        }
      }
    }
    return handleAll as Observer[E]
  }

  const tracer = observers.find(observer => observer.run !== undefined)
  return {
    received: toAll('received'),
    decoded: toAll('decoded'),
    ignored: toAll('ignored'),
    rejected: toAll('rejected'),
    hosted: toAll('hosted'),
    settled: toAll('settled'),
    fannedOut: toAll('fannedOut'),
    failed: toAll('failed'),
    abandoned: toAll('abandoned'),
    settledLate: toAll('settledLate'),
    ...(tracer && { run: tracer.run!.bind(tracer) })
  }
}
