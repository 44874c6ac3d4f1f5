/**
 * Users by how many bytes they have: all with at least as many bytes as a power of two, and fewer than the next, are in one
 * class. So a user of the largest class, who has at least half as much as the largest user, is found at once among any
 * number of users.
 */
export class SizeClasses {
  readonly #classes: Array<Set<string> | undefined> = []

  /** A user has another number of bytes now. */
  move (userId: string, before: number, after: number): void {
    const from = classOf(before)
    const to = classOf(after)
    if (from === to) return
    this.#classes[from]?.delete(userId)
    if (after > 0) (this.#classes[to] ??= new Set()).add(userId)
  }

  /** A user of the largest class: the one who has been in it for longest. */
  get largest (): string | undefined {
    while (this.#classes.length > 0) {
      const [userId] = this.#classes.at(-1) ?? []
      if (userId !== undefined) return userId
      this.#classes.pop()
    }
    return undefined
  }

  clear (): void {
    this.#classes.length = 0
  }
}

function classOf (bytes: number): number {
  return bytes <= 0 ? 0 : Math.ceil(Math.log2(bytes + 1))
}
