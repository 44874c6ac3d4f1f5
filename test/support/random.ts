import type { Test } from 'tap'

/** Random numbers that can be had again: `SEED=… npx tap …` repeats a run. The seed is printed. */
export interface Random {
  /** A whole number from `from` to `to`, both included. */
  between (from: number, to: number): number
}

/** A mulberry32 generator. */
export function createRandom (t: Test): Random {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SEED=${seed}`)
  let state = seed
  function next (): number {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
  return { between: (from, to) => from + Math.floor(next() * (to - from + 1)) }
}
