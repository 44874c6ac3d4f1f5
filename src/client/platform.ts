/** What the client uses of a WebSocket: a browser's, Node's and that of `ws` all fit. */
export interface WebSocketLike {
  readonly protocol: string
  // `any`: each of the three has event types of its own, and none takes another's.
  onopen: ((event: any) => unknown) | null
  onmessage: ((event: any) => unknown) | null
  onerror: ((event: any) => unknown) | null
  onclose: ((event: any) => unknown) | null
  send (text: string): void
  close (code?: number, reason?: string): void
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike

/** What a page has, a worker in part, and Node hardly any of. Of our own, so that no DOM types are needed. */
interface Platform {
  readonly WebSocket?: WebSocketConstructor
  readonly location?: { readonly href: string }
  readonly navigator?: { readonly onLine?: boolean }
  addEventListener? (type: 'online', listener: () => void): void
  removeEventListener? (type: 'online', listener: () => void): void
}

const platform = globalThis as unknown as Platform

/** The platform's own WebSocket: browsers have one, and Node from version 22. */
export function defaultWebSocket (): WebSocketConstructor | undefined {
  return platform.WebSocket
}

/**
 * A WebSocket's URL from one that may be relative to the page, or http(s).
 * @throws {TypeError} where it is none
 */
export function webSocketUrl (url: string | URL): string {
  const resolved = new URL(url, platform.location?.href)
  resolved.protocol = resolved.protocol.replace(/^http/, 'ws')
  resolved.hash = '' // a WebSocket's URL has none
  if (!/^wss?:$/.test(resolved.protocol)) throw new TypeError('the URL must be ws, wss, http or https')
  return resolved.href
}

/** Whether the browser knows that there is no network. Elsewhere nobody knows. */
export function isOffline (): boolean {
  return platform.navigator?.onLine === false
}

/**
 * Calls back once: after a delay, or as soon as the network is back; never while there is none.
 * @param delay in milliseconds
 * @returns what calls it off
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
