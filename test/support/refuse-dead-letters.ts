import type { TestBroker } from './broker.js'

/** Creates the dead-letter queue of a queue so that it refuses everything, until it is deleted. */
export async function refuseDeadLetters ({ channel }: TestBroker, queue: string): Promise<void> {
  await channel.assertQueue(`${queue}.dead`, { durable: true, arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } })
}
