/** The client for React: one connection for a tree of components, and a list of what has arrived. */
import { createContext, createElement, useContext, useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react'
import { NotificationClient, type EndedEvent, type NotificationClientOptions, type ReceivedNotification } from '../client/index.js'
import { NotificationStore, type Notifications } from './store.js'

export type { ListedNotification, Notifications } from './store.js'

/** How many notifications are listed. */
const LIMIT = 100

export interface NotificationProviderProps extends Omit<NotificationClientOptions, 'onNotification' | 'signal' | 'backlog'> {
  /**
   * Where to connect, as for `NotificationClient`. Another string begins anew, with an empty list. A function is asked
   * before each attempt, the one of the latest render. `undefined`: signed out, not connected.
   */
  url: string | URL | (() => string | URL | Promise<string | URL>) | undefined
  /** Called with each new notification, for a toast say. The notification is acknowledged when it is done. */
  onNotification?: ((notification: ReceivedNotification) => unknown) | undefined
  /** The client has ended by itself, and does not connect again by itself: after 4500 and 4501, sign in. */
  onEnded?: ((event: EndedEvent) => void) | undefined
  /** How many notifications are listed. The oldest go first. @default 100 */
  limit?: number | undefined
  children?: ReactNode
}

const Context = createContext<NotificationStore<unknown> | undefined>(undefined)

/** Connects when it is mounted, and lets `useNotifications()` see what arrives. On a server it only renders its children. */
export function NotificationProvider (props: NotificationProviderProps) {
  const { url, children } = props
  const latest = useRef(props)
  useEffect(() => { latest.current = props })

  // A function is new in each render, and means the same.
  const key = typeof url === 'function' ? 'function' : url === undefined ? undefined : String(url)
  const [entry, setEntry] = useState(() => ({ key, store: new NotificationStore<unknown>() }))
  // React's way to begin anew when a property changes: it renders again at once, before anybody sees the old list.
  if (entry.key !== key) setEntry({ key, store: new NotificationStore() })
  const { store } = entry

  useEffect(() => {
    const { url, onNotification: _1, onEnded: _2, children: _3, limit = LIMIT, ...options } = latest.current
    if (url === undefined) return
    const client = new NotificationClient(typeof url === 'function' ? () => askLatest(latest.current) : url, {
      ...options,
      onNotification: notification => latest.current.onNotification?.(notification)
    })
    const mounted = new AbortController()
    store.follow(client, limit, mounted.signal)
    client.addEventListener('ended', event => latest.current.onEnded?.(event), { signal: mounted.signal })
    return () => {
      mounted.abort()
      client.close()
    }
  }, [store])

  return createElement(Context.Provider, { value: store }, children)
}

/**
 * What has arrived, and the state of the connection.
 * @throws {Error} outside of a `NotificationProvider`
 */
export function useNotifications<Content = unknown> (): Notifications<Content> {
  const store = useContext(Context)
  if (store === undefined) throw new Error('useNotifications() needs a <NotificationProvider> around the component')
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot) as Notifications<Content>
}

async function askLatest ({ url }: NotificationProviderProps): Promise<string | URL> {
  if (typeof url !== 'function') throw new Error('signed out')
  return await url()
}
