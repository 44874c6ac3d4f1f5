/**
 * Tells whose notifications came into the hold: at once, as nothing newer of the user must go out before, and once in a
 * turn of the event loop.
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
