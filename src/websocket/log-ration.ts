/**
 * Limits the number of lines that are logged in an interval, so that nobody can flood the log.
 * @param lines maximum number of lines in an interval
 * @param interval length of an interval, in milliseconds
 */
export function createRation (lines: number, interval: number) {
  let since = -Infinity
  let count = 0

  /** @param log logs the line. Its argument is the number of lines that were left out since the last logged line */
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
