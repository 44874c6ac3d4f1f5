/** How long to wait after a failure, in milliseconds. */
const RETRY = 1_000

/**
 * Tells, as often as it takes, whose notifications came into the hold: at once, as nothing newer of the user must go out
 * before, and once in a turn of the event loop.
 */
export function createWakes (publish: (userId: string, done: (isRouted: boolean | undefined) => void) => void) {
  const told = new Set<string>()
  const failed = new Set<string>()
  let scheduled: NodeJS.Immediate | undefined
  let retry: NodeJS.Timeout | undefined
  let isClosed = false

  function tell (userId: string): void {
    publish(userId, isRouted => {
      if (isRouted !== undefined || isClosed) return
      failed.add(userId)
      retry ??= setTimeout(tellAgain, RETRY)
    })
  }

  function tellAgain (): void {
    retry = undefined
    const userIds = [...failed]
    failed.clear()
    userIds.forEach(tell)
  }

  function endTurn (): void {
    scheduled = undefined
    told.clear()
  }

  return {
    add (userId: string): void {
      if (told.has(userId)) return
      told.add(userId)
      scheduled ??= setImmediate(endTurn)
      tell(userId)
    },

    close (): void {
      isClosed = true
      clearImmediate(scheduled)
      clearTimeout(retry)
    }
  }
}
