import { combineSummaries, summarize, type Summary } from './statistics.js'

/** What can be measured, and in which unit. */
export const quantities = {
  cpu: 'µs of processor time per notification',
  rate: 'notifications a second',
  p50: 'ms from publish to receipt, median',
  p99: 'ms from publish to receipt, 99th percentile',
  heldRate: 'notifications a second into the hold',
  heldCpu: 'µs of processor time for each into the hold',
  releasedRate: 'notifications a second out of the hold',
  releasedCpu: 'µs of processor time for each out of the hold, with its part of the upgrade',
  upgrades: 'upgrades a second',
  upgradeCpu: 'µs of processor time per upgrade',
  binds: 'users a second that can be reached',
  rebound: 'seconds until all can be reached again',
  peerUser: 'bytes for each user of another instance',
  memory: 'bytes per connection',
  idleCpu: 'µs of processor time per connection and minute'
} as const
export type Quantity = keyof typeof quantities

export type Measured = Partial<Record<Quantity, number>>

/** What one entrant was measured at, in all rounds that count. */
export interface Row {
  readonly workload: string
  readonly entrant: string
  /** How many rounds count. Of several runs: how many in each. */
  readonly rounds: number
  readonly quantities: Partial<Record<Quantity, Summary>>
}

/** What was measured, where, and when. */
export interface Measurement {
  readonly date: string
  readonly machine: string
  readonly versions: Record<string, string>
  /** How long each workload took for each round, in seconds. */
  readonly secondsPerRound?: Record<string, number>
  readonly rows: Row[]
}

/**
 * Several complete runs as one: medians of their medians.
 * @param runs of the same workloads and entrants, with the same versions
 */
export function combine (runs: readonly [Measurement, ...Measurement[]]): Measurement {
  const [first] = runs
  const [expected, ...others] = runs.map(({ machine, versions }) => JSON.stringify({ machine, versions }))
  for (const found of others) if (found !== expected) throw new Error(`the runs are of ${expected} and of ${found}`)
  const rows = first.rows.map(row => {
    const all = runs.map(({ rows }, run) => {
      const same = rows.find(({ workload, entrant }) => workload === row.workload && entrant === row.entrant)
      if (same === undefined) throw new Error(`run ${run + 1} has no ${row.workload}, ${row.entrant}`)
      return same
    })
    const names = Object.keys(row.quantities) as Quantity[]
    const summaries = names.map(name => [name, combineSummaries(all.map(({ quantities }) => quantities[name]!))] as const)
    return { ...row, rounds: Math.min(...all.map(({ rounds }) => rounds)), quantities: Object.fromEntries(summaries) }
  })
  return { ...runs.at(-1)!, rows }
}

/** Gathers what each round measured. */
export function createResults () {
  const rounds = new Map<string, Map<string, Measured[]>>()

  return {
    add (workload: string, entrant: string, measured: Measured): void {
      const entrants = rounds.get(workload) ?? new Map<string, Measured[]>()
      rounds.set(workload, entrants)
      entrants.set(entrant, [...entrants.get(entrant) ?? [], measured])
    },

    rows (): Row[] {
      return [...rounds].flatMap(([workload, entrants]) => [...entrants].map(([entrant, all]) => {
        const names = Object.keys(all[0]!) as Quantity[]
        const summaries = names.map(name => [name, summarize(all.map(measured => measured[name]!))] as const)
        return { workload, entrant, rounds: all.length, quantities: Object.fromEntries(summaries) }
      }))
    }
  }
}

export type Results = ReturnType<typeof createResults>
