/** A character beyond Latin-1. With one of them, V8 stores two bytes for each character of a string. */
const WIDE = /[^\0-\xff]/

/** Bytes of memory that a string takes: two for each character, unless all are Latin-1. */
export function textBytes (text: string): number {
  return WIDE.test(text) ? 2 * text.length : text.length
}
