const WALL_TIME_AT_START = Date.now() - performance.now()

/**
 * The time in milliseconds since 1970, by a clock that never steps: the wall clock when the process started, plus what
 * the monotonic clock has counted since. Only for times that stay in this process. Somebody may set the wall clock
 * meanwhile, and other processes follow it.
 */
export function steadyNow (): number {
  return WALL_TIME_AT_START + performance.now()
}

/**
 * How far the wall clock is ahead of the other one, in milliseconds. In whole seconds: of two times that are moved from
 * one clock to the other, the older one stays the older one.
 */
export function wallClockLead (): number {
  return Math.round((Date.now() - steadyNow()) / 1_000) * 1_000
}
