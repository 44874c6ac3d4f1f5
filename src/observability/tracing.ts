import type * as Api from '@opentelemetry/api'
import type { Attributes, Context, Span, TextMapGetter } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import type { Delivery, Origin, Routed } from '../delivery/delivery.js'
import { errors } from '../errors.js'
import type { Options } from '../options/schema.js'
import type { Router } from '../delivery/router.js'

/** Headers are anybody's: what is no text is none of a propagator's. */
const headersGetter: TextMapGetter<Record<string, unknown>> = {
  get: (headers, key) => typeof headers[key] === 'string' ? headers[key] : undefined,
  keys: headers => Object.keys(headers)
}

/** What ended without an outcome, as the broker delivers it again. */
const ABANDONED = { outcome: 'abandoned', connections: 0 }

/** An outcome; with the reason where a message can't be used. */
interface Outcome { readonly outcome: string, readonly connections: number, readonly reason?: string }

/** Written out, as types that are published must not be of a package that may not be installed. */
export interface Tracing {
  /** The same way in for what the queues deliver, with a span for each. */
  process (receive: (origin: Origin) => unknown): (origin: Origin) => unknown
  /** The same way for notifications: they take the trace along to other instances, where there are some. */
  watch (route: Router['route']): Router['route']
  /** The same way in for what other instances ask to be delivered here. */
  host (deliver: (delivery: Delivery) => Routed | Promise<Routed>): (delivery: Delivery) => Routed | Promise<Routed>
  /** At the end: what has no outcome by now has none in this process. */
  close (): void
}

/**
 * Loads OpenTelemetry's API, which does nothing in an application that has set up no SDK.
 * @param load how; replaced by tests
 * @throws FST_NOTIFICATION_TRACING_NO_API where it is not installed
 */
export async function loadTracing (options: Options, log: FastifyBaseLogger, load: () => Promise<unknown> = async () => await import('@opentelemetry/api')): Promise<Tracing> {
  try {
    return createTracing(await load() as typeof Api, options, log)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new errors.TracingNoApi({ cause: error })
  }
}

/**
 * A span for each message, from its arrival until its outcome is known, in the trace that its headers name; by the
 * semantic conventions for messaging. Routing keys are left out, as they may name users; so are users and contents.
 */
function createTracing ({ context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace }: typeof Api, { amqpUrl, queue, relay, cluster }: Options, log: FastifyBaseLogger): Tracing {
  const tracer = trace.getTracer('fastify-notification')
  const exchange = relay.exchange ?? `${[queue].flat()[0]}.relay`
  const server = serverAttributes(amqpUrl)
  const contexts = new WeakMap<Origin, Context>()
  /** Those without an outcome, with what aborts when the broker will deliver the message again. */
  const open = new Map<Span, AbortSignal | undefined>()
  const watched = new WeakSet<AbortSignal>()

  function start (destination: string, parent: Context, attributes: Attributes): { span: Span, own: Context } {
    const span = tracer.startSpan(`process ${destination}`, {
      kind: SpanKind.CONSUMER,
      attributes: {
        'messaging.system': 'rabbitmq',
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.destination.name': destination,
        ...server,
        ...attributes
      }
    }, parent)
    return { span, own: trace.setSpan(parent, span) }
  }

  /** Who instruments amqplib has a span of the same trace for it already, whose child ours is. */
  function parentOf (headers: Record<string, unknown>): Context {
    const active = context.active()
    const extracted = propagation.extract(ROOT_CONTEXT, headers, headersGetter)
    const traceId = trace.getSpanContext(extracted)?.traceId
    return traceId !== undefined && trace.getSpanContext(active)?.traceId === traceId ? active : extracted
  }

  function end (span: Span, { outcome, connections, reason }: Outcome): void {
    open.delete(span)
    span.setAttributes({ 'notification.outcome': outcome, 'notification.connections': connections })
    if (reason !== undefined) span.setAttribute('error.type', reason).setStatus({ code: SpanStatusCode.ERROR })
    span.end()
  }

  function fail (span: Span, error: unknown): void {
    const { code, name } = error as { code?: string, name?: string }
    end(span, { outcome: 'failed', connections: 0, reason: code ?? name ?? 'unknown' })
  }

  /** Does what a span is for, and ends it when the outcome is known. */
  function run<T> (span: Span, deliver: () => T, gone?: AbortSignal): T {
    try {
      const result = deliver()
      if (result instanceof Promise) return follow(span, result, gone) as T
      end(span, result as Outcome)
      return result
    } catch (error) {
      if (span.isRecording()) fail(span, error)
      throw error
    }
  }

  /**
   * Ends a span later; at the latest when the broker is about to deliver the message again.
   * @returns the same outcome, once the span has ended; an error of the span's end is the message's own
   */
  async function follow (span: Span, result: Promise<Outcome>, gone: AbortSignal | undefined): Promise<Outcome> {
    open.set(span, gone)
    if (gone !== undefined && !watched.has(gone)) {
      watched.add(gone)
      gone.addEventListener('abort', () => abandon(gone), { once: true })
    }
    let outcome: Outcome
    try {
      outcome = await result
    } catch (error) {
      if (open.has(span)) fail(span, error)
      throw error
    }
    if (open.has(span)) end(span, outcome)
    return outcome
  }

  function abandon (gone?: AbortSignal): void {
    for (const [span, signal] of open) {
      if (gone !== undefined && signal !== gone) continue
      try {
        end(span, ABANDONED)
      } catch (err) {
        log.error({ err }, 'span not ended')
      }
    }
  }

  return {
    process (receive) {
      return origin => {
        const { queue, gone, message: { content, fields: { deliveryTag }, properties: { headers, messageId } } } = origin
        const { span, own } = start(queue, parentOf(headers ?? {}), {
          'messaging.message.body.size': content.length,
          'messaging.rabbitmq.message.delivery_tag': deliveryTag,
          ...(typeof messageId === 'string' && { 'messaging.message.id': messageId })
        })
        contexts.set(origin, own)
        return run(span, () => context.with(own, receive, undefined, origin), gone)
      }
    },

    watch (route) {
      return (notification, origin, isForAll) => {
        const own = origin === undefined ? context.active() : contexts.get(origin)!
        if (origin !== undefined) trace.getSpan(own)!.setAttribute('notification.id', notification.payload.id)
        if (!cluster || isForAll === true) return route(notification, origin, isForAll)
        const carrier: Record<string, string> = {}
        propagation.inject(own, carrier)
        return route({ ...notification, trace: carrier }, origin, isForAll)
      }
    },

    host (deliver) {
      return delivery => {
        const { notification } = delivery
        let started: ReturnType<typeof start>
        try {
          started = start(exchange, propagation.extract(ROOT_CONTEXT, notification.trace ?? {}), { 'notification.id': delivery.id })
        } catch (err) {
          log.error({ err }, 'span not started') // the instance that asks would ask again and again
          return deliver(delivery)
        }
        const { span, own } = started
        return run(span, () => context.with(own, deliver, undefined, delivery))
      }
    },

    close: () => abandon()
  }
}

/** Where the broker is. */
function serverAttributes (amqpUrl: string | undefined): Attributes {
  if (amqpUrl === undefined) return {}
  const { hostname, port, protocol } = new URL(amqpUrl)
  // RFC 3986 §3.2.2: brackets are the URL's, not the address's.
  return { 'server.address': hostname.replace(/^\[|\]$/g, ''), 'server.port': port === '' ? (protocol === 'amqps:' ? 5671 : 5672) : Number(port) }
}
