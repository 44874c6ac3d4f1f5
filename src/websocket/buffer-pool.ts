/** Bytes of memory that are taken at once. */
const SIZE = 262_144
/** A larger piece would waste much of the rest of a slab. */
const MAX_PIECE = SIZE / 4

let slab = Buffer.allocUnsafeSlow(0)
let used = 0

/**
 * Memory for what is written soon and then forgotten. Node's own pool takes nothing over 4 KiB, and memory by itself
 * for each frame of that length costs a third of the whole path, most of it in the garbage collector.
 * @returns a Buffer with anything in it
 */
export function allocate (length: number): Buffer {
  if (length > MAX_PIECE) return Buffer.allocUnsafeSlow(length)
  if (used + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(SIZE)
    used = 0
  }
  const piece = slab.subarray(used, used + length)
  used += length
  return piece
}
