/** How long to wait after a failure, in milliseconds. */
const RETRY = 1_000

/** Tells, once in a turn of the event loop, as often as it takes, whose notifications came into the hold. */
export function createWakes (publish: (userId: string, done: (isRouted: boolean | undefined) => void) => void) {
  let due = new Set<string>()
  let scheduled: NodeJS.Immediate | undefined
  let retry: NodeJS.Timeout | undefined

  function flush (): void {
    scheduled = retry = undefined
    const userIds = due
    due = new Set()
    for (const userId of userIds) {
      publish(userId, isRouted => {
        if (isRouted !== undefined) return
        due.add(userId)
        retry ??= setTimeout(flush, RETRY)
      })
    }
  }

  return {
    add (userId: string): void {
      due.add(userId)
      if (retry === undefined) scheduled ??= setImmediate(flush)
    },

    close (): void {
      clearImmediate(scheduled)
      clearTimeout(retry)
    }
  }
}
