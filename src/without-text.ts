/**
 * What may be logged of an unexpected error: its name, its code and where it was thrown. Its text may quote a message.
 * @param error anything that was thrown
 */
export function withoutText (error: unknown): { name: string, code: string | number | undefined, at: string[] } {
  const { name = typeof error, code, stack = '' } = (error ?? {}) as { name?: string, code?: string | number, stack?: string }
  return { name, code, at: String(stack).split('\n').filter(line => /^\s+at /.test(line)).map(line => line.trim()) }
}
