// Types that several options share.
import { Type } from '@sinclair/typebox'

export const DAY = 24 * 60 * 60 * 1_000
export const KiB = 1024
export const MiB = 1024 * KiB

/** A queue name is an AMQP short string: at most 255 bytes (AMQP 0-9-1 §4.2.5.3). */
export const QueueName = Type.String({ minLength: 1, maxLength: 255, allowed: 'a queue name of 1 to 255 bytes' })

export const milliseconds = (minimum: number, maximum: number, value: number) =>
  Type.Integer({ minimum, maximum, default: value, allowed: `a whole number of milliseconds from ${minimum} to ${maximum}` })

export const bytes = (minimum: number, maximum: number, value: number) =>
  Type.Integer({ minimum, maximum, default: value, allowed: `a number of bytes from ${minimum} to ${maximum}` })

export const count = (value: number) =>
  Type.Integer({ minimum: 1, maximum: 10_000_000, default: value, allowed: 'a whole number from 1 to 10000000' })

/** The highest delivery limit that every version of RabbitMQ accepts, as an argument and in a policy. */
export const MAX_DELIVERY_LIMIT = 2_147_483_647
