import type { Test } from 'tap'

/** Lets a test say how many milliseconds pass, besides those that do. */
export function moveClock (t: Test): (milliseconds: number) => void {
  const { now } = performance
  let passed = 0
  performance.now = () => now.call(performance) + passed
  t.teardown(() => { performance.now = now })
  return milliseconds => { passed += milliseconds }
}
