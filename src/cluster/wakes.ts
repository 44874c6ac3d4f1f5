/**
 * Tells peers which users have new notifications in the hold. It does so at once, because nothing newer of the user may
 * be delivered first, and only once per user in a turn of the event loop.
 */
export function createWakes (publish: (userId: string) => void) {
  const told = new Set<string>()
  let scheduled: NodeJS.Immediate | undefined

  function endTurn (): void {
    scheduled = undefined
    told.clear()
  }

  return {
    add (userId: string): void {
      if (told.has(userId)) return
      told.add(userId)
      scheduled ??= setImmediate(endTurn)
      publish(userId)
    }
  }
}
