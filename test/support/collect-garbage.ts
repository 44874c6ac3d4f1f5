import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')

/** Collects everything that nobody keeps. */
export const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of objects and of Buffers that somebody keeps. */
export function memoryInUse (): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
