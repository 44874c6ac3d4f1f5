/**
 * Lets a number of lines in an interval into the log, so that nobody can flood it.
 * @param lines how many
 * @param interval in milliseconds
 */
export function createRation (lines: number, interval: number) {
  let since = -Infinity
  let count = 0

  /** @param log is given how many lines were left out since the last one */
  return (log: (omitted: number) => void): void => {
    const now = performance.now()
    if (now - since >= interval) {
      const omitted = Math.max(0, count - lines)
      since = now
      count = 1
      log(omitted)
    } else if (++count <= lines) log(0)
  }
}
