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

type PageListener = (event: { readonly type: string, readonly persisted?: boolean }) => void

/** The globals of a page. A worker has some, Node and React Native hardly any. Declared here, so that no DOM types are needed. */
interface Platform {
  readonly WebSocket?: WebSocketConstructor
  readonly location?: { readonly href: string }
  readonly navigator?: { readonly onLine?: boolean }
  readonly document?: { readonly visibilityState?: string }
  addEventListener? (type: string, listener: PageListener, options: { capture: boolean }): void
  removeEventListener? (type: string, listener: PageListener, options: { capture: boolean }): void
}

const platform = globalThis as unknown as Platform

/** The maximum delay of setTimeout, 24 days. It turns a longer delay into one millisecond. */
const LONGEST = 2 ** 31 - 1

/** The platform's WebSocket: browsers have one, and Node has one since version 22. */
export function defaultWebSocket (): WebSocketConstructor | undefined {
  return platform.WebSocket
}

/**
 * Converts a URL, which may be relative to the page or http(s), to a WebSocket URL. The URL of React Native can't be
 * changed, and adds a slash to a path. So only a relative URL is taken from it.
 * @throws {TypeError} if the URL is invalid
 */
export function webSocketUrl (url: string | URL): string {
  const { href } = new URL(url, platform.location?.href)
  const address = (/^\w+:/.test(String(url)) ? String(url) : href)
    .replace(/^http/i, 'ws')
    .replace(/#.*/, '') // a WebSocket URL has no fragment
  if (!/^wss?:/i.test(address)) throw new TypeError('the URL must be ws, wss, http or https')
  return address
}

/** Whether the browser believes that there is no network. It may be wrong. Always false outside browsers. */
export function isOffline (): boolean {
  return platform.navigator?.onLine === false
}

/**
 * Calls back once, after a delay in milliseconds.
 * @returns cancels the callback
 */
export function after (delay: number, callback: () => void): () => void {
  const timer = setTimeout(callback, Math.min(delay, LONGEST))
  return () => clearTimeout(timer)
}

/** After these the network or the page may be back, and a connection may have died meanwhile. */
const waking = ['online', 'pageshow', 'visibilitychange', 'resume']

/** What happens to the page. */
export interface PageListeners {
  /** The page is seen again, or the network is back. */
  onWake (): void
  /** The page may be frozen or thrown away at any moment, without another event. */
  onHide (): void
  /** The page is being left. The browser may keep it, and show it again. */
  onLeave (): void
}

/**
 * Listens to the life of the page. Does nothing outside browsers.
 * @returns stops listening
 */
export function watchPage ({ onWake, onHide, onLeave }: PageListeners): () => void {
  const types = [...waking, 'freeze', 'pagehide']
  const listener: PageListener = ({ type, persisted }) => {
    if (persisted === false && type === 'pageshow') return // the page is new
    if (type === 'pagehide') onLeave()
    else if (type === 'freeze' || (type === 'visibilitychange' && platform.document?.visibilityState === 'hidden')) onHide()
    else onWake()
  }
  // Some of them are events of the document. A listener that captures gets those too.
  for (const type of types) platform.addEventListener?.(type, listener, { capture: true })
  return () => { for (const type of types) platform.removeEventListener?.(type, listener, { capture: true }) }
}
