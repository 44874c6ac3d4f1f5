/** Where the seed is printed: a tap test, or anything like it. */
interface Printer { comment (text: string): void }

/** Random numbers that can be had again: `SEED=… npx tap …` repeats a run. The seed is printed. */
export interface Random {
  /** A whole number from `from` to `to`, both included. */
  between (from: number, to: number): number
  /** So many random bytes. */
  bytes (length: number): Buffer
}

/** A mulberry32 generator. */
export function createRandom (t: Printer): Random {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SEED=${seed}`)
  let state = seed
  function next (): number {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return { between, bytes: length => Buffer.from(Array.from({ length }, () => between(0, 255))) }
}
