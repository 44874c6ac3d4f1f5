import {
  NotificationClient,
  type ClientErrorEvent, type ConnectionCloseEvent, type DismissEvent, type EndedEvent, type NotificationClientOptions,
  type NotificationClientState, type NotificationEvent, type OpenEvent, type ReceivedNotification
} from 'fastify-notification/client'
import { describe, expect, test } from 'tstyche'
import { WebSocket } from 'ws'

interface Order { order: number }

test('the URL is a string, a URL, or a function that returns one, at once or later', () => {
  expect(NotificationClient).type.toBeConstructableWith('/notification')
  expect(NotificationClient).type.toBeConstructableWith(new URL('ws://localhost'), {})
  expect(NotificationClient).type.toBeConstructableWith(() => 'ws://localhost')
  expect(NotificationClient).type.toBeConstructableWith(async () => new URL('ws://localhost'), { protocols: async () => ['token'] })
  expect(NotificationClient).type.not.toBeConstructableWith(8080)
})

test('options', () => {
  expect<NotificationClientOptions>().type.toBeAssignableFrom({ WebSocket, signal: new AbortController().signal })
  expect<NotificationClientOptions>().type.toBeAssignableFrom({ onNotification () {}, reconnect: { maxDelay: undefined } })
  expect<NotificationClientOptions<Order>>().type.toBeAssignableFrom({ onNotification: async ({ content }: ReceivedNotification<Order>) => content.order })
  expect<NotificationClientOptions>().type.not.toBeAssignableFrom({ connectTimeout: '10' })
})

describe('a client', () => {
  const client = new NotificationClient('ws://localhost')
  const orders = new NotificationClient<Order>('ws://localhost')

  test('has typed events', () => {
    client.addEventListener('open', event => expect(event).type.toBe<OpenEvent>())
    client.addEventListener('notification', event => expect(event).type.toBe<NotificationEvent<unknown>>())
    client.addEventListener('dismiss', event => expect(event).type.toBe<DismissEvent>(), { once: true })
    client.addEventListener('close', event => expect(event).type.toBe<ConnectionCloseEvent>())
    client.addEventListener('error', event => expect(event).type.toBe<ClientErrorEvent>())
    client.addEventListener('ended', event => expect(event).type.toBe<EndedEvent>())
    client.addEventListener('ended', { handleEvent: event => expect(event.code).type.toBe<number>() })
    orders.addEventListener('notification', event => {
      expect(event.content).type.toBe<Order>()
      expect(event.waitUntil).type.toBeCallableWith(Promise.resolve())
    })
    expect(client.addEventListener).type.not.toBeCallableWith('message', () => {})
    expect(client.removeEventListener).type.not.toBeCallableWith('message', () => {})
  })

  test('can be iterated', async () => {
    for await (const notification of client) expect(notification).type.toBe<ReceivedNotification<unknown>>()
    for await (const { content } of orders) expect(content).type.toBe<Order>()
  })

  test('has a state, and can be closed', () => {
    expect(client.state).type.toBe<NotificationClientState>()
    expect(client.close(4000, 'bye')).type.toBe<Promise<void>>()
    expect(client.connect()).type.toBe<void>()
    expect(client).type.toBeAssignableTo<EventTarget>()
  })
})
