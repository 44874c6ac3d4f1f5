import { Simulation } from './simulated-cluster.js'

const STEPS = 120

const promises = 'nothing is lost, nobody who was welcomed is called offline, who is in a group gets what is for it, and nobody else, each connection gets each once'

/** The settings of the schedules, and what must hold with each. */
export const settings = [
  { settle: 'sent', takers: 'one', promised: `${promises}, in order` },
  { settle: 'acknowledged', takers: 'one', promised: `${promises}, in order` },
  { settle: 'sent', takers: 'several', promised: promises },
  { settle: 'acknowledged', takers: 'several', promised: promises }
] as const

/**
 * Runs schedules of several instances that share a queue: see `simulated-cluster.ts`.
 * @param seeds one for each schedule
 * @returns the first one that went wrong, with its seed
 */
export async function findViolation ({ settle, takers }: typeof settings[number], seeds: Iterable<number>): Promise<{ seed: number, violations: string[], story: string[] } | undefined> {
  for (const seed of seeds) {
    const simulation = new Simulation(seed, { steps: STEPS, settle, takers })
    const violations = await simulation.run()
    if (violations.length > 0) return { seed, violations, story: simulation.story }
  }
  return undefined
}
