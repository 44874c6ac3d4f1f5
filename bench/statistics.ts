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
 * The ratio of two medians. Of several runs: the median of their ratios, with the lowest and the highest, as what is compared
 * was measured in turn in each run.
 */
export function ratioOf (a: Summary, b: Summary): Summary {
  return summarize((a.medians ?? [a.median]).map((median, run) => median / (b.medians?.[run] ?? b.median)))
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
