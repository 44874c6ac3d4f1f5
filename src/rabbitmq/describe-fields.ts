// Says what is wrong with the fields of a message, and what is needed. Never quotes a value, because it may be personal data.
import { MAX_NAMED } from '../delivery/multicast.js'
import { describeValue } from '../delivery/notification.js'
import { ID_RULE, isId } from '../ids.js'

type Fields = Partial<Record<'userId' | 'userIds' | 'group' | 'everybody' | 'except' | 'content' | 'id', unknown>>

/** @param what it is, in the words of the detail */
export function describeFields (value: unknown, what: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${what} is ${describeValue(value)}: it must be an object with userId and content`
  const fields = value as Fields
  return describeRecipient(fields) ?? (fields.content === undefined ? 'content is missing' : describeId('id', fields.id))
}

/** @returns undefined if nothing is wrong with whom it is for */
function describeRecipient (fields: Fields): string | undefined {
  const { userId, userIds, group, everybody, except } = fields
  if (everybody != null && typeof everybody !== 'boolean') return `everybody is ${describeValue(everybody)}: it must be true, or left out`
  const given = (['userId', 'userIds', 'group', 'everybody'] as const).filter(name => fields[name] != null && !(name === 'everybody' && everybody === false))
  if (given.length > 1) return `${given.slice(0, -1).join(', ')} and ${given.at(-1)!} are ${given.length === 2 ? 'both ' : ''}given: give one`
  const [to] = given
  if (to === undefined) return userId === undefined ? 'userId is missing: give userId, userIds, group or everybody' : describeUserId('userId', userId)
  if (except != null && (to === 'userId' || to === 'userIds')) return `except is given with ${to}: it is for group and everybody`
  if (to === 'userId') return describeUserId('userId', userId)
  if (to === 'userIds') return describeUserIds('userIds', userIds, 1)
  if (to === 'group' && !isId(group)) return describeId('group', group)
  return except == null ? undefined : describeUserIds('except', except, 0)
}

function describeUserIds (name: string, value: unknown, minimum: number): string | undefined {
  if (!Array.isArray(value) || value.length < minimum || value.length > MAX_NAMED) {
    return `${name} is ${Array.isArray(value) ? `an array of ${value.length}` : describeValue(value)}: it must be an array of ${minimum} to ${MAX_NAMED} user ids`
  }
  for (const [index, userId] of value.entries()) {
    const wrong = describeUserId(`${name}[${index}]`, userId)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function describeUserId (name: string, value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? undefined : describeNumber(name, value)
  return isId(value) ? undefined : describeId(name, value)
}

function describeId (name: string, value: unknown): string {
  if (value === undefined) return `${name} is missing`
  return `${name} is ${describeValue(value)}: ${typeof value === 'number' || typeof value === 'bigint' ? 'send it as a string' : `it must be ${ID_RULE}`}`
}

function describeNumber (name: string, value: number): string {
  if (Number.isNaN(value)) return `${name} is NaN: send a whole number or a string`
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return `${name} is a number with a fraction: send a whole number or a string`
  return `${name} is a number ${value < 0 ? 'below -2^53' : 'above 2^53'}: send it as a string`
}
