import type * as Api from '@opentelemetry/api'
import type { Attributes, Context, Span, TextMapGetter, Tracer } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import { exchangeOf } from '../cluster/exchange.js'
import type { DeadLetterReason, Kind, Observer, Origin, Result } from '../delivery/doors.js'
import { outcomeOf, type Multicast, type Summary } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
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

/**
 * Creates a span for each message, and for each notification that a peer asks this instance to deliver. Declared
 * explicitly: published types must not refer to a package that may not be installed.
 */
export interface Tracing extends Omit<Observer, 'settledLate'> {
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
    return new OpenTelemetryTracing(await load() as typeof Api, options, log)
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
class OpenTelemetryTracing implements Tracing {
  readonly #api: typeof Api
  readonly #tracer: Tracer
  readonly #server: Attributes
  readonly #exchange: string
  readonly #log: FastifyBaseLogger
  /** The spans, by message or by the notification of a peer. */
  readonly #spans = new WeakMap<object, OpenSpan>()
  /** The spans without an outcome. */
  readonly #open = new Set<OpenSpan>()
  /** The signals whose abort ends spans. */
  readonly #watched = new WeakSet<AbortSignal>()

  constructor (api: typeof Api, options: Options, log: FastifyBaseLogger) {
    this.#api = api
    this.#tracer = api.trace.getTracer('fastify-notification')
    this.#server = serverAttributes(options.amqpUrl)
    this.#exchange = hasBroker(options) ? exchangeOf(options) : ''
    this.#log = log
  }

  received (origin: Origin, decoded: Notification | Multicast | undefined): void {
    const { queue, gone, message: { content, fields: { deliveryTag }, properties: { headers, messageId } } } = origin as QueueMessage
    this.#begin(origin, queue, this.#parentOf(headers ?? {}), gone, {
      'messaging.message.body.size': content.length,
      'messaging.rabbitmq.message.delivery_tag': deliveryTag,
      ...(typeof messageId === 'string' && { 'messaging.message.id': messageId }),
      ...(decoded !== undefined && { 'notification.id': decoded.payload.id })
    })
  }

  hosted (notification: Notification): void {
    const { propagation, ROOT_CONTEXT } = this.#api
    const parent = propagation.extract(ROOT_CONTEXT, notification.trace ?? {})
    this.#begin(notification, this.#exchange, parent, undefined, { 'notification.id': notification.payload.id })
  }

  decoded (origin: Origin, { payload: { id } }: Notification | Multicast): void {
    this.#spans.get(origin)?.span.setAttribute('notification.id', id)
  }

  ignored (origin: Origin): void {
    this.#end(origin, 'ignored', 0)
  }

  rejected (origin: Origin, reason: DeadLetterReason): void {
    if (!origin.isShared || origin.isMoved) this.#end(origin, 'dead-lettered', 0, reason)
  }

  settled (notification: Notification, origin: Origin | undefined, _kind: Kind, { outcome, connections }: Result): void {
    if (origin?.isShared !== true) this.#end(origin ?? notification, outcome, connections)
  }

  fannedOut (_multicast: Multicast, origin: Origin, summary: Summary): void {
    this.#spans.get(origin)?.span.setAttribute('notification.users', summary.users)
    this.#end(origin, outcomeOf(summary), summary.connections)
  }

  abandoned (notification: Notification, origin: Origin | undefined): void {
    this.#end(origin ?? notification, 'abandoned', 0)
  }

  failed (notification: Notification, origin: Origin | undefined, error: unknown): void {
    if (origin?.isShared === true && origin.gone?.aborted !== true) return // the other users of the message have their outcomes
    const { code, name } = error as { code?: string, name?: string }
    this.#end(origin ?? notification, 'failed', 0, code ?? name ?? 'unknown')
  }

  run<T> (subject: Origin | Notification, step: () => T): T {
    const { context } = this.#api
    return context.with(this.#spans.get(subject)?.context ?? context.active(), step)
  }

  inject (origin: Origin | undefined): Record<string, string> {
    const { context, propagation } = this.#api
    const carrier: Record<string, string> = {}
    propagation.inject((origin && this.#spans.get(origin)?.context) ?? context.active(), carrier)
    return carrier
  }

  close (): void {
    this.#abandonAll()
  }

  #begin (subject: object, destination: string, parent: Context, gone: AbortSignal | undefined, attributes: Attributes): void {
    const { trace, SpanKind } = this.#api
    const span = this.#tracer.startSpan(`process ${destination}`, {
      kind: SpanKind.CONSUMER,
      attributes: {
        'messaging.system': 'rabbitmq',
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.destination.name': destination,
        ...this.#server,
        ...attributes
      }
    }, parent)
    const opened = { span, context: trace.setSpan(parent, span), gone }
    this.#spans.set(subject, opened)
    this.#open.add(opened)
    if (gone !== undefined) this.#watch(gone)
  }

  #watch (gone: AbortSignal): void {
    if (this.#watched.has(gone)) return
    this.#watched.add(gone)
    gone.addEventListener('abort', () => this.#abandonAll(gone), { once: true })
  }

  /** If amqplib is instrumented, the active span belongs to the same trace. Ours is then its child. */
  #parentOf (headers: Record<string, unknown>): Context {
    const { context, propagation, ROOT_CONTEXT, trace } = this.#api
    const active = context.active()
    const extracted = propagation.extract(ROOT_CONTEXT, headers, headersGetter)
    const traceId = trace.getSpanContext(extracted)?.traceId
    return traceId !== undefined && trace.getSpanContext(active)?.traceId === traceId ? active : extracted
  }

  #end (subject: object, outcome: string, connections: number, reason?: string): void {
    const opened = this.#spans.get(subject)
    if (opened !== undefined && this.#open.delete(opened)) this.#endSpan(opened, outcome, connections, reason)
  }

  #endSpan ({ span }: OpenSpan, outcome: string, connections: number, reason?: string): void {
    span.setAttributes({ 'notification.outcome': outcome, 'notification.connections': connections })
    if (reason !== undefined) span.setAttribute('error.type', reason).setStatus({ code: this.#api.SpanStatusCode.ERROR })
    span.end()
  }

  /** Ends the spans without an outcome, because the broker redelivers their messages. */
  #abandonAll (gone?: AbortSignal): void {
    for (const opened of this.#open) {
      if (gone !== undefined && opened.gone !== gone) continue
      this.#open.delete(opened)
      try {
        this.#endSpan(opened, 'abandoned', 0)
      } catch (err) {
        this.#log.error({ err }, 'span not ended')
      }
    }
  }
}

/** The address and port of the broker. Of several hosts it is not known which one has delivered. */
function serverAttributes (amqpUrl: Options['amqpUrl']): Attributes {
  const [url, ...others] = [amqpUrl].flat()
  if (url === undefined || others.length > 0) return {}
  const { hostname, port, protocol } = new URL(url)
  // RFC 3986 §3.2.2: the brackets belong to the URL, not to the address.
  return { 'server.address': hostname.replace(/^\[|\]$/g, ''), 'server.port': port === '' ? (protocol === 'amqps:' ? 5671 : 5672) : Number(port) }
}
