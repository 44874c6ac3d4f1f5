import type { Static, TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { errors } from '../errors.js'
import type { Decode, ReceivedMessage } from '../options/decode.js'

/**
 * Makes a `decode` for messages whose body is JSON of one schema. A body that does not fit dead-letters its message.
 *
 * ```ts
 * const schema = Type.Object({ user_id: Type.Integer(), text: Type.String() })
 * const decode = decodeJson(schema, ({ user_id, text }) => ({ userId: user_id, content: text }))
 * ```
 *
 * @param schema of TypeBox
 * @param toNotification is given the body, of the schema's type, and the message
 */
export function decodeJson<Schema extends TSchema> (schema: Schema, toNotification: (body: Static<Schema>, message: ReceivedMessage) => ReturnType<Decode>): Decode {
  const compiled = TypeCompiler.Compile(schema)
  return message => {
    const body = message.json()
    if (compiled.Check(body)) return toNotification(body, message)
    const { path, message: expected } = compiled.Errors(body).First() ?? { path: '', message: 'does not fit the schema' }
    throw new errors.Undecodable(`${path === '' ? 'the body' : path.slice(1).replaceAll('/', '.')}: ${expected}`)
  }
}
