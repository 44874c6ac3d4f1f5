import type { ConsumeMessage } from 'amqplib'
import { errors } from '../errors.js'
import type { MessageProperties, ReceivedMessage } from '../options/decode.js'
import type { InvalidMessage } from './invalid-message.js'
import { readText } from './body.js'
import { asWritten } from './as-written.js'
import { parseJson } from './message.js'

/** A message as the option `decode` is given it. */
export class Received implements ReceivedMessage {
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: MessageProperties
  readonly exchange: string
  readonly routingKey: string
  readonly redelivered: boolean
  #json: { readonly text: string, readonly value: unknown } | undefined

  constructor ({ properties, fields }: ConsumeMessage, readonly body: Buffer, readonly queue: string) {
    this.headers = properties.headers ?? {}
    this.properties = properties as MessageProperties
    this.exchange = fields.exchange
    this.routingKey = fields.routingKey
    this.redelivered = fields.redelivered
  }

  /** The JSON of an object or an array: as it was written, if it is an unchanged part of the body. */
  toJson (value: object): string {
    return (this.#json && asWritten(this.#json.text, this.#json.value, value)) ?? JSON.stringify(value)
  }

  #parse (): { readonly text: string, readonly value: unknown } {
    const text = readText(this.body)
    return { text, value: parseJson(text) }
  }

  /** A function of its own, so that `decode` may destructure its argument. */
  readonly json = (): unknown => {
    try {
      return (this.#json ??= this.#parse()).value
    } catch (invalid) {
      throw new errors.Undecodable((invalid as InvalidMessage).detail)
    }
  }
}
