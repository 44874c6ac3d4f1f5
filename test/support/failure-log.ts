import type { Test } from 'tap'

/** What is kept of a log, in lines and characters: enough to see why, little enough to read. */
const MAX_LINES = 200
const MAX_LENGTH = 2_000

export interface FailureLog {
  /** Adds what was logged, in whatever portions. */
  write (text: string): void
}

/**
 * Keeps the last lines that an application logs, and prints them if the test fails.
 * @param name of the application, for the reader
 */
export function printOnFailure (t: Test, name: string): FailureLog {
  const lines: string[] = []
  let rest = ''
  let dropped = 0

  t.teardown(() => {
    if (rest !== '') add(rest)
    if (t.passing()) return
    if (lines.length === 0) return t.comment(`${name} has logged nothing`)
    t.comment([`the log of ${name}${dropped === 0 ? '' : `, without its first ${dropped} lines`}:`, ...lines].join('\n'))
  })

  function add (line: string): void {
    lines.push(line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)} …` : line)
    if (lines.length <= MAX_LINES) return
    lines.shift()
    dropped++
  }

  return {
    write (text) {
      const parts = (rest + text).split('\n')
      rest = parts.pop()!
      for (const part of parts) add(part)
    }
  }
}
