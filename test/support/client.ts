import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import { WebSocket, type ClientOptions } from 'ws'
import { inTime } from './eventually.js'

export interface TestClient {
  readonly socket: WebSocket
  /** What arrived so far. */
  readonly messages: string[]
  /** Resolves when so many messages have arrived, with all that have. */
  received (count: number): Promise<string[]>
  /** Resolves when a check of what has arrived is true. */
  until (check: () => boolean, what: () => string): Promise<void>
  /** Resolves when the connection has ended. */
  readonly closed: Promise<{ code: number, reason: string }>
  close (): Promise<void>
}

/** Connects a WebSocket client, which is ended after the test. */
export async function connectClient (t: Test, url: string, options?: ClientOptions, protocols: string | string[] = []): Promise<TestClient> {
  const socket = new WebSocket(url, protocols, options)
  const messages: string[] = []
  const arrivals = new EventEmitter()
  socket.on('message', (data: Buffer, isBinary) => {
    messages.push(isBinary ? `binary: ${data.toString('hex')}` : data.toString())
    arrivals.emit('message')
  })
  const closed = new Promise<{ code: number, reason: string }>(resolve => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  t.teardown(() => socket.terminate())
  await inTime(async signal => await once(socket, 'open', { signal }), () => `a connection to ${url}`)
  socket.on('error', () => {})

  async function until (check: () => boolean, what: () => string): Promise<void> {
    await inTime(async signal => {
      while (!check()) await once(arrivals, 'message', { signal })
    }, what)
  }

  return {
    socket,
    messages,
    closed,
    async received (count) {
      await until(() => messages.length >= count, () => `message ${count}, after ${messages.length}`)
      return messages
    },
    until,
    async close () {
      socket.close()
      await closed
    }
  }
}

/** The status and body with which an upgrade is refused. */
export async function refusal (url: string, options?: ClientOptions, protocols: string | string[] = []): Promise<{ statusCode: number, body: string, headers: NodeJS.Dict<string | string[]> }> {
  const socket = new WebSocket(url, protocols, options)
  const [request, response] = await once(socket, 'unexpected-response')
  const body = (await response.toArray()).join('')
  request.destroy()
  return { statusCode: response.statusCode, body, headers: response.headers }
}
