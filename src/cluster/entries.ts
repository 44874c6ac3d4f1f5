import { Type } from '@sinclair/typebox'

/**
 * What an instance announces: a user who is here, by the id; or a group that has a connection here, by its name after a
 * line feed, which no id has.
 */
export const Entry = Type.String({ minLength: 1, maxLength: 256, pattern: '^\\n?(?!__proto__$)[^\\u0000-\\u001f\\u007f-\\u009f]+$' })

const MARK = '\n'

export function groupEntry (group: string): string {
  return MARK + group
}

export function isGroupEntry (entry: string): boolean {
  return entry.startsWith(MARK)
}
