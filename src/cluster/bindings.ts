/** Binds a user to the inbox, or unbinds the user. */
export interface Binder {
  bind (userId: string): Promise<unknown>
  unbind (userId: string): Promise<unknown>
}

/** How often to check for bindings that have expired, in milliseconds. */
const TICK = 1_000

interface User {
  readonly id: string
  /** Whether the user has a connection, or one that waits for the binding. */
  isWanted: boolean
  isBound: boolean
  /** When to remove the binding of a user without a connection, by `performance.now()`. */
  keepUntil: number
  /** Whether a change is queued or in progress. */
  isQueued: boolean
  /** Called when the binding is in the wanted state. */
  waiting: Array<() => void>
}

export type Bindings = ReturnType<typeof createBindings>

/**
 * Which users are bound to the inbox: those who have a connection here, and those who had one until recently. A page
 * that reloads keeps its binding.
 *
 * Changes are queued for a few channels. Each channel waits for the broker's answer before it makes the next change. A
 * change that is reverted while it is queued causes no request.
 * @param unbindDelay how long a binding is kept without a connection, in milliseconds
 * @param bound is called with each user who is bound, and again when the user is bound to a new inbox
 */
export function createBindings (unbindDelay: number, bound: (userId: string) => void) {
  const users = new Map<string, User>()
  /** Users who are bound and have no connection, in the order in which their bindings expire. */
  const leaving = new Set<User>()
  /** Entries before `head` have been taken: a `shift()` of an array of 200,000 takes a millisecond. */
  let queue: User[] = []
  let head = 0
  let isWorking = false
  let binders: Binder[] = []
  /** The binders that have nothing to do. */
  let idle: Binder[] = []
  let timer: NodeJS.Timeout | undefined

  function userOf (id: string): User {
    let user = users.get(id)
    if (user === undefined) users.set(id, user = { id, isWanted: false, isBound: false, keepUntil: 0, isQueued: false, waiting: [] })
    return user
  }

  const isDue = (user: User) => user.isWanted ? !user.isBound : user.isBound && !leaving.has(user)

  /** Must be called after each change of a user. */
  function check (user: User): void {
    if (user.isQueued) return
    if (isDue(user)) {
      user.isQueued = true
      queue.push(user)
      work()
      return
    }
    for (const done of user.waiting.splice(0)) done()
    if (user.isWanted || user.isBound || users.get(user.id) !== user) return
    users.delete(user.id)
    leaving.delete(user)
  }

  function work (): void {
    if (isWorking) return // a change that is no longer due calls this again synchronously: many of them would overflow the stack
    isWorking = true
    while (head < queue.length && idle.length > 0) change(idle.pop()!, queue[head++]!)
    if (2 * head > queue.length) {
      queue = queue.slice(head)
      head = 0
    }
    isWorking = false
  }

  async function change (binder: Binder, user: User): Promise<void> {
    const { isWanted } = user
    let isDone = true
    if (isDue(user)) {
      await (isWanted ? binder.bind(user.id) : binder.unbind(user.id)).catch(() => { isDone = false })
      // Without an answer the channel is dead, and so is its inbox. Nobody is bound to the next inbox yet.
      if (isDone && binders.includes(binder)) {
        user.isBound = isWanted
        if (isWanted) bound(user.id)
      }
    }
    if (isDone && binders.includes(binder)) idle.push(binder)
    user.isQueued = false
    check(user)
    work()
  }

  function keep (user: User): void {
    user.keepUntil = performance.now() + unbindDelay
    leaving.add(user)
    timer ??= setInterval(tick, TICK)
  }

  function tick (): void {
    const now = performance.now()
    for (const user of leaving) {
      if (user.keepUntil > now) break
      leaving.delete(user)
      check(user)
    }
    if (leaving.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    /** How many users are bound. */
    get size (): number {
      let size = 0
      for (const { isBound } of users.values()) if (isBound) size++
      return size
    },

    /**
     * A user gets a connection.
     * @returns undefined if the user is bound; otherwise resolves when the user is
     */
    add (userId: string): Promise<void> | undefined {
      const user = userOf(userId)
      user.isWanted = true
      leaving.delete(user)
      if (user.isBound && !user.isQueued) return undefined
      const bound = new Promise<void>(resolve => user.waiting.push(resolve))
      check(user)
      return bound
    },

    /** A user has no connection left. The binding is kept for `unbindDelay`. */
    release (userId: string): void {
      const user = users.get(userId)
      if (user === undefined || !user.isWanted) return
      user.isWanted = false
      if (user.isBound || user.isQueued) keep(user)
      check(user)
    },

    /** Resolves when a user whose connection waits for the binding is bound; undefined if no connection waits. */
    pending (userId: string): Promise<void> | undefined {
      const user = users.get(userId)
      if (user === undefined || !user.isWanted || (user.isBound && !user.isQueued)) return undefined
      return new Promise(resolve => user.waiting.push(resolve))
    },

    /** Unbinds a user who has no connection. Resolves when the user is unbound. */
    async drop (userId: string): Promise<void> {
      const user = users.get(userId)
      if (user === undefined || user.isWanted) return
      leaving.delete(user)
      if (!user.isBound && !user.isQueued) return
      const unbound = new Promise<void>(resolve => user.waiting.push(resolve))
      check(user)
      await unbound
    },

    /** The inbox was lost, and all its bindings with it. */
    suspend (): void {
      binders = []
      idle = []
      leaving.clear()
      for (const user of users.values()) user.isBound = false
      for (const user of [...users.values()]) check(user)
    },

    /** There is a new inbox: binds every user who has a connection. */
    resume (fresh: Binder[]): void {
      binders = fresh
      idle = [...fresh]
      work()
    },

    close (): void {
      clearInterval(timer)
      binders = []
      idle = []
      queue = []
      head = 0
    }
  }
}
