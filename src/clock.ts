const WALL_TIME_AT_START = Date.now() - performance.now()

/**
 * The time in milliseconds since 1970, by a clock that never steps: the wall-clock time at the start of the process,
 * plus the time that the monotonic clock has counted since. Use it only for times that stay in this process: somebody
 * may set the wall clock meanwhile, and other processes follow the wall clock.
 */
export function steadyNow (): number {
  return WALL_TIME_AT_START + performance.now()
}

/**
 * How far the wall clock is ahead of {@link steadyNow}, in milliseconds, rounded to whole seconds. The rounding keeps
 * the order of two times that are converted from one clock to the other.
 */
export function wallClockLead (): number {
  return Math.round((Date.now() - steadyNow()) / 1_000) * 1_000
}
