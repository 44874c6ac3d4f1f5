// AMQP 0-9-1 §4.2.5.2: integers come in network byte order. Unlike the methods of Buffer, these check no bounds and never
// throw: a byte behind the end counts as 0.

export function uint16 (bytes: Buffer, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!
}

export function uint32 (bytes: Buffer, at: number): number {
  return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0
}
