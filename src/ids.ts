import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

const MAX_BYTES = 255

/** The rule for ids, in the words of an error message. */
export const ID_RULE = "1 to 255 bytes of UTF-8 without control characters, and not '__proto__'"

/** The part of the rule that JSON Schema can express. {@link isId} checks the whole rule. */
export const Id = Type.String({
  minLength: 1,
  maxLength: MAX_BYTES,
  // `__proto__` is refused: an application must never use it as a key of a plain object.
  pattern: '^(?!__proto__$)[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: ID_RULE
})

const check = TypeCompiler.Compile(Id)

/**
 * Whether a value can be a user id or a notification id.
 * @param value anything
 * @returns true for 1 to 255 bytes of well-formed UTF-8 without control characters, other than `__proto__`
 */
export function isId (value: unknown): value is string {
  return check.Check(value) && fitsId(value)
}

/** Whether a string that the schema accepts is an id. Checks the part of the rule that JSON Schema can't express. */
export function fitsId (value: string): boolean {
  // No UTF-16 code unit takes more than three bytes, so most ids need not be measured.
  // A lone surrogate has no UTF-8 form: two such ids would look the same on the wire.
  return (value.length * 3 <= MAX_BYTES || Buffer.byteLength(value) <= MAX_BYTES) && value.isWellFormed()
}
