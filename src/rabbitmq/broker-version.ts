import type { ChannelModel } from 'amqplib'

/**
 * What depends on the broker's product and version is decided here.
 */

/** RabbitMQ 4.0, release notes: a quorum queue without a delivery limit of its own has this one. */
const DEFAULT_DELIVERY_LIMIT = 20

/** The first major version with a default delivery limit. */
const FIRST_WITH_DEFAULT = 4

/** Whether the broker is RabbitMQ itself, and not another product that speaks AMQP 0-9-1. */
export function isRabbitMQ (model: ChannelModel): boolean {
  return propertiesOf(model).product === 'RabbitMQ'
}

/**
 * The delivery limit of a quorum queue, as far as its arguments tell: a policy can make it lower, or set it where there
 * is no argument, and no client of AMQP can read policies.
 * @param argument `x-delivery-limit` of the queue; undefined where it has none
 * @returns how often a message may be returned; Infinity where there is no limit
 */
export function deliveryLimitOf (model: ChannelModel, argument: number | undefined): number {
  const hasDefault = isRabbitMQ(model) && majorOf(model) >= FIRST_WITH_DEFAULT
  if (argument === undefined) return hasDefault ? DEFAULT_DELIVERY_LIMIT : Infinity
  if (argument >= 0) return argument
  // From 4.0 on a negative limit means none. Before, the first return drops the message.
  return hasDefault ? Infinity : 0
}

/** A version that cannot be read counts as a new one: too low a limit loses nothing. */
function majorOf (model: ChannelModel): number {
  const major = Number.parseInt(propertiesOf(model).version, 10)
  return Number.isNaN(major) ? FIRST_WITH_DEFAULT : major
}

function propertiesOf (model: ChannelModel): { product: string, version: string } {
  return model.connection.serverProperties
}
