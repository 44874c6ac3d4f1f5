export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  /** Of several runs: the median of each. */
  readonly medians?: readonly number[]
}

/** @param values one for each counted round */
export function summarize (values: number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)! }
}

/** @param runs what several runs gave */
export function combineSummaries (runs: readonly Summary[]): Summary {
  const medians = runs.map(({ median }) => median)
  return {
    median: summarize(medians).median,
    min: Math.min(...runs.map(({ min }) => min)),
    max: Math.max(...runs.map(({ max }) => max)),
    medians
  }
}

/**
 * @param sorted ascending
 * @param q from 0 to 1
 */
export function quantile (sorted: number[], q: number): number {
  const position = (sorted.length - 1) * q
  const below = Math.floor(position)
  const share = position - below
  return sorted[below]! * (1 - share) + sorted[Math.min(below + 1, sorted.length - 1)]! * share
}
