/**
 * Gets the parts of an unexpected error that may be logged: its name, its code and where it was thrown. Its text is
 * left out, because it may quote a message.
 * @param error anything that was thrown
 */
export function withoutText (error: unknown): { name: string, code: string | number | undefined, at: string[] } {
  const { name = typeof error, code, stack = '' } = (error ?? {}) as { name?: string, code?: string | number, stack?: string }
  return { name, code, at: String(stack).split('\n').filter(line => /^\s+at /.test(line)).map(line => line.trim()) }
}
