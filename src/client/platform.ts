/** The part of a WebSocket that the client uses. The WebSockets of browsers, Node and `ws` all have it. */
export interface WebSocketLike {
  readonly protocol: string
  // `any`: each of the three has its own event types, which are incompatible.
  onopen: ((event: any) => unknown) | null
  onmessage: ((event: any) => unknown) | null
  onerror: ((event: any) => unknown) | null
  onclose: ((event: any) => unknown) | null
  send (text: string): void
  close (code?: number, reason?: string): void
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike

/** The globals of a page. A worker has some, Node hardly any. Declared here, so that no DOM types are needed. */
interface Platform {
  readonly WebSocket?: WebSocketConstructor
  readonly location?: { readonly href: string }
  readonly navigator?: { readonly onLine?: boolean }
  addEventListener? (type: 'online', listener: () => void): void
  removeEventListener? (type: 'online', listener: () => void): void
}

const platform = globalThis as unknown as Platform

/** The platform's WebSocket: browsers have one, and Node has one since version 22. */
export function defaultWebSocket (): WebSocketConstructor | undefined {
  return platform.WebSocket
}

/**
 * Converts a URL, which may be relative to the page or http(s), to a WebSocket URL.
 * @throws {TypeError} if the URL is invalid
 */
export function webSocketUrl (url: string | URL): string {
  const resolved = new URL(url, platform.location?.href)
  resolved.protocol = resolved.protocol.replace(/^http/, 'ws')
  resolved.hash = '' // a WebSocket URL has no fragment
  if (!/^wss?:$/.test(resolved.protocol)) throw new TypeError('the URL must be ws, wss, http or https')
  return resolved.href
}

/** Whether the browser knows that there is no network. Always false outside browsers. */
export function isOffline (): boolean {
  return platform.navigator?.onLine === false
}

/**
 * Calls back once: after a delay, or as soon as the network is back, but never while there is no network.
 * @param delay in milliseconds
 * @returns cancels the callback
 */
export function whenWorthTrying (delay: number, callback: () => void): () => void {
  const timer = setTimeout(() => { if (!isOffline()) proceed() }, delay)
  platform.addEventListener?.('online', proceed)

  function cancel (): void {
    clearTimeout(timer)
    platform.removeEventListener?.('online', proceed)
  }

  function proceed (): void {
    cancel()
    callback()
  }

  return cancel
}
