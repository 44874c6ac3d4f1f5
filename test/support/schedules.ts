import { Simulation } from './simulated-cluster/simulation.js'

const STEPS = 120

const promises = 'nothing is lost, nobody who was welcomed is called offline, who is in a group gets what is for it, and nobody else, each connection gets each once, in order'
const slow = 'nothing is lost or stuck, no client is waited for that need not acknowledge any more, each connection gets each once, in order'

/** The settings of the schedules, and what must hold with each. */
export const settings = [
  { settle: 'sent', takers: 'one', offline: 'drop', clients: 'quick', promised: promises },
  { settle: 'acknowledged', takers: 'one', offline: 'drop', clients: 'quick', promised: promises },
  { settle: 'sent', takers: 'several', offline: 'drop', clients: 'quick', promised: promises },
  { settle: 'acknowledged', takers: 'several', offline: 'drop', clients: 'quick', promised: promises },
  { settle: 'sent', takers: 'one', offline: 'hold', clients: 'quick', promised: promises },
  { settle: 'acknowledged', takers: 'one', offline: 'hold', clients: 'quick', promised: promises },
  { settle: 'acknowledged', takers: 'one', offline: 'hold', clients: 'slow', promised: slow },
  { settle: 'acknowledged', takers: 'several', offline: 'drop', clients: 'slow', promised: slow }
] as const

/**
 * Runs schedules of several instances that share a queue: see `simulated-cluster/simulation.ts`.
 * @param seeds one for each schedule
 * @returns the first one that went wrong, with its seed
 */
export async function findViolation (setting: typeof settings[number], seeds: Iterable<number>): Promise<{ seed: number, violations: string[], story: string[] } | undefined> {
  for (const seed of seeds) {
    const simulation = new Simulation(seed, { steps: STEPS, ...setting })
    const violations = await simulation.run()
    if (violations.length > 0) return { seed, violations, story: simulation.story }
  }
  return undefined
}
