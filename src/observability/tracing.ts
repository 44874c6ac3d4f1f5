import type * as Api from '@opentelemetry/api'
import type { Attributes, Context, Span, TextMapGetter } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import { exchangeOf } from '../cluster/exchange.js'
import type { Observer, Origin } from '../delivery/doors.js'
import { errors } from '../errors.js'
import { hasBroker, type Options } from '../options/schema.js'
import type { QueueMessage } from '../rabbitmq/queue-message.js'

/** Publishers can set any headers. A propagator's headers are strings, so this ignores all others. */
const headersGetter: TextMapGetter<Record<string, unknown>> = {
  get: (headers, key) => typeof headers[key] === 'string' ? headers[key] : undefined,
  keys: headers => Object.keys(headers)
}

interface OpenSpan {
  readonly span: Span
  readonly context: Context
  /** Aborts when the broker will redeliver the message. */
  readonly gone: AbortSignal | undefined
}

/** Declared explicitly: published types must not refer to a package that may not be installed. */
export interface Tracing {
  /** Creates a span for each message, and for each notification that a peer asks this instance to deliver. */
  readonly observer: Omit<Observer, 'settledLate'>
  /** The trace context of a message, or of the current call, for the peer that continues it. */
  inject (origin: Origin | undefined): Record<string, string>
  /** Ends the open spans at shutdown, as `abandoned`: their notifications get no outcome in this process. */
  close (): void
}

/**
 * Loads OpenTelemetry's API. The API does nothing in an application without an SDK.
 * @param load imports the API; replaced by tests
 * @throws FST_NOTIFICATION_TRACING_NO_API if it is not installed
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
 * Creates a span for each message, from its arrival until its outcome is known, in the trace that its headers name.
 * Spans follow the semantic conventions for messaging. They contain no users and no contents, and no routing keys,
 * because those may name users.
 */
function createTracing ({ context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace }: typeof Api, options: Options, log: FastifyBaseLogger): Tracing {
  const tracer = trace.getTracer('fastify-notification')
  const server = serverAttributes(options.amqpUrl)
  const exchange = hasBroker(options) ? exchangeOf(options) : ''
  /** The spans, by message or by the notification of a peer. */
  const spans = new WeakMap<object, OpenSpan>()
  /** The spans without an outcome. */
  const open = new Set<OpenSpan>()
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

  /** If amqplib is instrumented, the active span belongs to the same trace. Ours is then its child. */
  function parentOf (headers: Record<string, unknown>): Context {
    const active = context.active()
    const extracted = propagation.extract(ROOT_CONTEXT, headers, headersGetter)
    const traceId = trace.getSpanContext(extracted)?.traceId
    return traceId !== undefined && trace.getSpanContext(active)?.traceId === traceId ? active : extracted
  }

  function begin (subject: object, destination: string, parent: Context, gone: AbortSignal | undefined, attributes: Attributes): void {
    const { span, own } = start(destination, parent, attributes)
    const opened = { span, context: own, gone }
    spans.set(subject, opened)
    open.add(opened)
    if (gone === undefined || watched.has(gone)) return
    watched.add(gone)
    gone.addEventListener('abort', () => abandonAll(gone), { once: true })
  }

  function end (subject: object | undefined, outcome: string, connections: number, reason?: string): void {
    const opened = subject && spans.get(subject)
    if (opened !== undefined && open.delete(opened)) endSpan(opened, outcome, connections, reason)
  }

  function endSpan ({ span }: OpenSpan, outcome: string, connections: number, reason?: string): void {
    span.setAttributes({ 'notification.outcome': outcome, 'notification.connections': connections })
    if (reason !== undefined) span.setAttribute('error.type', reason).setStatus({ code: SpanStatusCode.ERROR })
    span.end()
  }

  /** Ends the spans without an outcome, because the broker redelivers their messages. */
  function abandonAll (gone?: AbortSignal): void {
    for (const opened of open) {
      if (gone !== undefined && opened.gone !== gone) continue
      open.delete(opened)
      try {
        endSpan(opened, 'abandoned', 0)
      } catch (err) {
        log.error({ err }, 'span not ended')
      }
    }
  }

  const observer: Tracing['observer'] = {
    received (origin, notification) {
      const { queue, gone, message: { content, fields: { deliveryTag }, properties: { headers, messageId } } } = origin as QueueMessage
      begin(origin, queue, parentOf(headers ?? {}), gone, {
        'messaging.message.body.size': content.length,
        'messaging.rabbitmq.message.delivery_tag': deliveryTag,
        ...(typeof messageId === 'string' && { 'messaging.message.id': messageId }),
        ...(notification !== undefined && { 'notification.id': notification.payload.id })
      })
    },

    hosted (notification) {
      const parent = propagation.extract(ROOT_CONTEXT, notification.trace ?? {})
      begin(notification, exchange, parent, undefined, { 'notification.id': notification.payload.id })
    },

    rejected: (origin, reason) => end(origin, 'dead-lettered', 0, reason),
    settled: (notification, origin, _kind, { outcome, connections }) => end(origin ?? notification, outcome, connections),
    abandoned: (notification, origin) => end(origin ?? notification, 'abandoned', 0),
    failed (notification, origin, error) {
      const { code, name } = error as { code?: string, name?: string }
      end(origin ?? notification, 'failed', 0, code ?? name ?? 'unknown')
    },
    run: (subject, step) => context.with(spans.get(subject)?.context ?? context.active(), step)
  }

  return {
    observer,

    inject (origin) {
      const carrier: Record<string, string> = {}
      propagation.inject((origin && spans.get(origin)?.context) ?? context.active(), carrier)
      return carrier
    },

    close: () => abandonAll()
  }
}

/** The address and port of the broker. */
function serverAttributes (amqpUrl: string | undefined): Attributes {
  if (amqpUrl === undefined) return {}
  const { hostname, port, protocol } = new URL(amqpUrl)
  // RFC 3986 §3.2.2: the brackets belong to the URL, not to the address.
  return { 'server.address': hostname.replace(/^\[|\]$/g, ''), 'server.port': port === '' ? (protocol === 'amqps:' ? 5671 : 5672) : Number(port) }
}
