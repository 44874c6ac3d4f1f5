import type { NotificationClient, NotificationClientState, ReceivedNotification } from '../client/index.js'

/** A notification in the list. */
export interface ListedNotification<Content = unknown> extends Pick<ReceivedNotification<Content>, 'id' | 'content' | 'redelivered'> {
  /** When it arrived, in milliseconds since 1970. */
  readonly receivedAt: number
  readonly isRead: boolean
}

/** What a component sees. A new object after each change. */
export interface Notifications<Content = unknown> {
  /** The newest first. */
  readonly notifications: ReadonlyArray<ListedNotification<Content>>
  /** How many of them are not read. */
  readonly unread: number
  /** `idle`: not connected yet, as on a server, or without a URL. */
  readonly state: NotificationClientState | 'idle'
  /** Marks one notification as read; without an id, all of them. */
  markRead (id?: string): void
}

/** The notifications of one connection, for `useSyncExternalStore`. */
export class NotificationStore<Content> {
  readonly #listeners = new Set<() => void>()
  #snapshot: Notifications<Content> = { notifications: [], unread: 0, state: 'idle', markRead: id => this.#markRead(id) }
  /** On a server, and while a page takes over what a server has rendered. */
  readonly #initial = this.#snapshot

  readonly subscribe = (listener: () => void): () => void => {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  readonly getSnapshot = (): Notifications<Content> => this.#snapshot
  readonly getServerSnapshot = (): Notifications<Content> => this.#initial

  /**
   * Takes the notifications of a client.
   * @param limit how many are kept. The oldest go first
   * @param signal aborts when the client is not wanted any more
   */
  follow (client: NotificationClient<Content>, limit: number, signal: AbortSignal): void {
    const showState = () => this.#change({ state: client.state })
    client.addEventListener('notification', ({ id, content, redelivered }) => {
      const others = this.#snapshot.notifications.filter(other => other.id !== id)
      this.#list([{ id, content, redelivered, receivedAt: Date.now(), isRead: false }, ...others].slice(0, limit))
    }, { signal })
    for (const type of ['open', 'close', 'ended'] as const) client.addEventListener(type, showState, { signal })
    showState()
  }

  #markRead (id: string | undefined): void {
    const { notifications } = this.#snapshot
    if (!notifications.some(one => !one.isRead && (id === undefined || id === one.id))) return
    this.#list(notifications.map(one => id === undefined || id === one.id ? { ...one, isRead: true } : one))
  }

  #list (notifications: ReadonlyArray<ListedNotification<Content>>): void {
    this.#change({ notifications, unread: notifications.filter(({ isRead }) => !isRead).length })
  }

  #change (change: Partial<Notifications<Content>>): void {
    this.#snapshot = { ...this.#snapshot, ...change }
    for (const listener of this.#listeners) listener()
  }
}
