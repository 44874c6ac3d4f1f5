import type { ChannelModel } from 'amqplib'

/**
 * Everything that depends on the product and the version of the broker.
 */

/** RabbitMQ 4.0, release notes: the delivery limit of a quorum queue that was declared without one. */
const DEFAULT_DELIVERY_LIMIT = 20

/** The first major version with a default delivery limit. */
const FIRST_WITH_DEFAULT = 4

/** Whether the broker is RabbitMQ itself, and not another product that speaks AMQP 0-9-1. */
export function isRabbitMQ (model: ChannelModel): boolean {
  return propertiesOf(model).product === 'RabbitMQ'
}

/**
 * The delivery limit of a quorum queue, by its arguments. A policy can lower the limit, or set one if there is no
 * argument, but AMQP clients can't read policies.
 * @param argument `x-delivery-limit` of the queue, if it has one
 * @returns how often a message may be returned; Infinity if there is no limit
 */
export function deliveryLimitOf (model: ChannelModel, argument: number | undefined): number {
  const hasDefault = isRabbitMQ(model) && majorOf(model) >= FIRST_WITH_DEFAULT
  if (argument === undefined) return hasDefault ? DEFAULT_DELIVERY_LIMIT : Infinity
  if (argument >= 0) return argument
  // In 4.0 and later a negative limit means no limit. In earlier versions the first return drops the message.
  return hasDefault ? Infinity : 0
}

/** An unreadable version counts as a version with a default limit: a limit that is too low loses no message. */
function majorOf (model: ChannelModel): number {
  const major = Number.parseInt(propertiesOf(model).version, 10)
  return Number.isNaN(major) ? FIRST_WITH_DEFAULT : major
}

function propertiesOf (model: ChannelModel): { product: string, version: string } {
  return model.connection.serverProperties
}
