/** How long to wait after a failure, in milliseconds. */
const RETRY = 1_000

type Attempt = (done: (isRouted: boolean | undefined) => void) => void

/** Publishes what must reach the others as often as it takes. */
export function createInsistence () {
  const failed = new Map<string, Attempt>()
  let retry: NodeJS.Timeout | undefined
  let isClosed = false

  function publish (key: string, attempt: Attempt): void {
    failed.delete(key)
    attempt(isRouted => {
      if (isRouted !== undefined || isClosed) return
      failed.set(key, attempt)
      retry ??= setTimeout(publishAgain, RETRY)
    })
  }

  function publishAgain (): void {
    retry = undefined
    for (const [key, attempt] of [...failed]) publish(key, attempt)
  }

  return {
    /** @param key what of the same kind replaces, where it waits to be published again */
    publish,

    close (): void {
      isClosed = true
      clearTimeout(retry)
    }
  }
}
