/** Reads short strings that are mostly the same as the one before. Then no string is made. */
export class RepeatedString {
  /** The length and the text. */
  #bytes = Buffer.from([0])
  #text = ''

  /** @param at where the string begins: its length in one byte, then UTF-8 (AMQP 0-9-1 §4.2.5.3) */
  read (chunk: Buffer, at: number): string {
    if (!this.#isRepeated(chunk, at)) {
      const end = at + 1 + chunk[at]!
      this.#text = chunk.toString('utf8', at + 1, end)
      this.#bytes = Buffer.from(chunk.subarray(at, end)) // a copy: the chunk is large
    }
    return this.#text
  }

  #isRepeated (chunk: Buffer, at: number): boolean {
    const bytes = this.#bytes
    for (let n = 0; n < bytes.length; n++) {
      if (bytes[n] !== chunk[at + n]) return false
    }
    return true
  }
}
