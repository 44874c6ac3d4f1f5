import Fastify, { type FastifyRequest } from 'fastify'
import notificationPlugin, {
  closeCodes, notificationPlugin as named,
  type Health, type NotificationPluginOptions, type Notifier, type NotifyManyResult, type NotifyResult, type StatsSnapshot, type TraceEntry, type UpgradeContext
} from 'fastify-notification'
import { AggregatorRegistry, Registry, register, type OpenMetricsContentType } from 'prom-client'
import { describe, expect, test } from 'tstyche'
import type { WebSocket } from 'ws'

describe('register', () => {
  const app = Fastify()

  test('takes the options of the quick start', () => {
    expect(app.register).type.toBeCallableWith(notificationPlugin, { amqpUrl: 'amqp://localhost', queue: 'hello' })
    expect(app.register).type.toBeCallableWith(notificationPlugin, {})
    expect(notificationPlugin).type.toBe(named)
  })

  test('every option is optional, groups too', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({})
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ limits: {}, reconnect: { maxDelay: 1 } })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ prefetch: '10' })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ offline: 'keep' as const })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ amqpUrl: undefined, limits: undefined })
  })

  test('authenticate returns a user id, or one with a time, at once or later', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: () => '123' })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: async () => ({ userId: '123', expiresAt: new Date() }) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: (request: FastifyRequest) => ({ userId: request.id, expiresAt: 1 }) })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ authenticate: () => 123 })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ authenticate: () => ({ user: '123' }) })
  })

  test('authenticate and allowedOrigins are given a signal', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: async (_request: FastifyRequest, { signal }: { signal: AbortSignal }) => String(signal.aborted) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: (_origin: string, _request: FastifyRequest, { signal }: UpgradeContext) => signal.aborted })
    expect<UpgradeContext>().type.toBe<{ readonly signal: AbortSignal }>()
  })

  test('options of register itself are taken', () => {
    expect(app.register).type.toBeCallableWith(notificationPlugin, { prefix: '/v1', logLevel: 'warn', logSerializers: { req: () => '' } })
    expect(app.register).type.not.toBeCallableWith(notificationPlugin, { logLevel: 'loud' })
  })

  test('metrics go into any registry of prom-client', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: register })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: new Registry<OpenMetricsContentType>() })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: new AggregatorRegistry() })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ metrics: true })
  })

  test('origins are strings, expressions, a function, or any', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: ['https://example.com', /./] })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: '*' as const })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: (origin: string) => origin === 'null' })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ allowedOrigins: 'https://example.com' })
  })
})

describe('fastify.notifier', () => {
  const { notifier } = Fastify()

  test('is there, with the types of its results', () => {
    expect(notifier).type.toBe<Notifier>()
    expect(notifier.notify('123', { any: 'thing' })).type.toBe<Promise<NotifyResult>>()
    expect(notifier.notify('123', 'hi', { id: 'x' })).type.toBe<Promise<NotifyResult>>()
    expect(notifier.notifyMany(new Set(['1']), 'hi')).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.broadcast('hi')).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.disconnect('123', 4502, 'bye')).type.toBe<number>()
    expect(notifier.connections('123')).type.toBe<number>()
    expect(notifier.isOnline('123')).type.toBe<Promise<boolean>>()
    expect(notifier.health()).type.toBe<Health>()
    expect(notifier.stats()).type.toBe<StatsSnapshot>()
    expect(notifier.trace({ userId: '123' })).type.toBe<TraceEntry[]>()
    expect(notifier.trace).type.toBeCallableWith({ userId: '123', id: 'x' })
    expect(notifier.trace).type.toBeCallableWith()
    expect(notifier.trace).type.not.toBeCallableWith({})
    expect<NotifyResult['outcome']>().type.toBe<'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'>()
  })

  test('takes a socket of @fastify/websocket', () => {
    const socket = {} as WebSocket
    expect(notifier.register('123', socket)).type.toBe<string>()
    expect(notifier.unregister('123', socket)).type.toBe<boolean>()
    expect(notifier.register).type.not.toBeCallableWith(123, socket)
  })

  test('users can be iterated', () => {
    expect([...notifier.users]).type.toBe<string[]>()
    expect(notifier.users.size).type.toBe<number>()
  })
})

test('close codes are literals', () => {
  expect(closeCodes.disconnected).type.toBe<4502>()
})
