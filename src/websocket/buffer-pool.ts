/** Size of a slab: the number of bytes that are allocated at once. */
const SIZE = 262_144
/** Maximum size of a piece of a slab. A larger piece could waste much of the rest of the slab. */
const MAX_PIECE = SIZE / 4

let slab = Buffer.allocUnsafeSlow(0)
let used = 0

/**
 * Allocates memory for bytes that are written soon and then forgotten. Node's own pool serves nothing over 4 KiB. A
 * separate allocation for each frame over 4 KiB costs a third of the whole path, most of it in the garbage collector.
 * @returns a Buffer that is not zero-filled
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
