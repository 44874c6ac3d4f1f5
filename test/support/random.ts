/** Where the seed is printed: a tap test, or anything like it. */
interface Printer { comment (text: string): void }

/** Random numbers that can be had again: `SEED=… npx tap …` repeats a run. The seed is printed. */
export interface Random {
  /** A whole number from `from` to `to`, both included. */
  between (from: number, to: number): number
  /** So many random bytes. */
  bytes (length: number): Buffer
  /** One of several. */
  oneOf<Value> (values: readonly Value[]): Value
  /** Random numbers of their own: those of one who is not to depend on when the others draw theirs. */
  fork (): Random
}

/** A generator whose seed is printed, or that of `SEED`. */
export function createRandom (t: Printer): Random {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SEED=${seed}`)
  return generator(seed)
}

/** A mulberry32 generator: the same seed gives the same numbers. */
export function generator (seed: number): Random {
  let state = seed
  function next (): number {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return {
    between,
    bytes: length => Buffer.from(Array.from({ length }, () => between(0, 255))),
    oneOf: values => values[between(0, values.length - 1)]!,
    fork: () => generator(between(0, 2 ** 31))
  }
}
