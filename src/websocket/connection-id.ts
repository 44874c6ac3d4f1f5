import { randomFillSync } from 'node:crypto'

/** Random bytes for 100 ids. To ask the system for the bytes of each id would add 5 µs to an upgrade. */
const ID_BYTES = 12
const random = Buffer.alloc(100 * ID_BYTES)
let used = random.length

/** Makes an id of 24 hexadecimal digits. A UUID would take 700 bytes: V8 keeps it as a rope of 20 strings until it is read. */
export function createConnectionId (): string {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  const from = used
  used += ID_BYTES
  return random.toString('hex', from, used)
}
