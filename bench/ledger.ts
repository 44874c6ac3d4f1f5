/**
 * Writes contents, and checks that each arrives: once, in the order of its user.
 * @param isOrdered whether the order counts
 */
export function createLedger (users: number, isOrdered = true) {
  const sent = new Uint32Array(users)
  /** Up to which one all have arrived. */
  const seen = new Uint32Array(users)
  /** Those that came before an older one. */
  const early = new Set<string>()
  let received = 0
  let wrong = 0
  let latencies: number[] | undefined
  let reached = { count: Infinity, resolve: () => {} }

  function note (user: number, number: number): void {
    const key = (number: number) => `${user} ${number}`
    const next = seen[user]! + 1
    if (number === next) {
      seen[user] = next
      while (early.size > 0 && early.delete(key(seen[user]! + 1))) seen[user]!++
    } else if (isOrdered || number < next || early.has(key(number))) {
      wrong++
    } else {
      early.add(key(number))
    }
  }

  return {
    /** The next content for a user, so many characters long. */
    write (user: number, length: number): string {
      return `${++sent[user]!} ${performance.now()} `.padEnd(length, 'x')
    },

    /** One content for all users, of whom none was written to by itself. */
    writeToAll (length: number): string {
      return `${sent.fill(sent[0]! + 1)[0]!} ${performance.now()} `.padEnd(length, 'x')
    },

    /** A content has arrived. */
    check (user: number, content: string): void {
      const end = content.indexOf(' ')
      note(user, Number(content.slice(0, end)))
      latencies?.push(performance.now() - Number(content.slice(end + 1, content.indexOf(' ', end + 1))))
      if (++received >= reached.count) reached.resolve()
    },

    get received (): number {
      return received
    },

    /** Begins to note how long each takes, in milliseconds, into a new list. */
    measureLatency (): number[] {
      return (latencies = [])
    },

    /** Resolves when so many have arrived, since the beginning. */
    async arrival (count: number): Promise<void> {
      if (received >= count) return
      await new Promise<void>(resolve => { reached = { count, resolve } })
    },

    /** @throws where one was lost, came twice, or out of order */
    assertComplete (): void {
      const missing = sent.reduce((sum, count, user) => sum + count - seen[user]!, 0)
      if (wrong > 0 || missing !== 0) throw new Error(`${wrong} notifications out of order or twice, ${missing} missing`)
    }
  }
}

export type Ledger = ReturnType<typeof createLedger>
