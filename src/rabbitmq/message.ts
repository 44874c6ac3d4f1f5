import type { ConsumeMessage } from 'amqplib'
import { Multicast } from '../delivery/multicast.js'
import type { Notification } from '../delivery/notification.js'
import { Payload } from '../delivery/payload.js'
import { readBody, readText } from './body.js'
import { commonProperties } from './delivered-message.js'
import { audienceOf, checkFields, idOf, type Message } from './fields.js'
import { InvalidMessage } from './invalid-message.js'
import { textAt } from './json-text.js'

const CONTENT = ['content']

/**
 * Decodes a message of the plugin's own form.
 * @param message as the broker has delivered it
 * @param maxBytes the largest body to accept
 * @returns for one user a notification, for many a multicast, or what is wrong with the message; never throws
 */
export function decodeMessage (message: ConsumeMessage, maxBytes: number): Notification | Multicast | InvalidMessage {
  const properties = commonProperties(message)
  let json: string
  let value: unknown
  try {
    json = readText(readBody(message.content, properties.contentEncoding, maxBytes))
    value = parseJson(json)
  } catch (invalid) {
    return invalid as InvalidMessage
  }
  const wrong = checkFields(value, 'the body')
  if (wrong !== undefined) return wrong
  const fields = value as Message
  const { userId, content, id } = fields
  const text = typeof content === 'string' ? content : textAt(json, CONTENT)
  const payload = new Payload(text, typeof content === 'string', idOf(id, properties))
  return userId == null ? new Multicast(audienceOf(fields), payload) : { userId: typeof userId === 'string' ? userId : String(userId), payload }
}

/**
 * Parses the text of a body.
 * @throws {@link InvalidMessage}
 */
export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's error text quotes the body.
    throw new InvalidMessage('invalid-json', text === '' ? 'the body is empty' : 'the body is not JSON')
  }
}
