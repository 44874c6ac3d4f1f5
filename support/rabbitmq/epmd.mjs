import { accepts, freePorts } from '../network.mjs'
import { createServer } from '../server.mjs'

/**
 * Erlang's port mapper, by which the nodes of one machine find each other: what a lone node starts for itself, and
 * what a cluster has once, so that it outlives each of its nodes.
 */
export function createEpmd () {
  return createServer('epmd', async () => {
    const [port] = await freePorts(1)
    return { port, env: withoutBrokerSettings(process.env), steps: [epmdStep(port)] }
  })
}

/**
 * How epmd is started.
 * @param {number} port
 * @returns {import('../server.mjs').Step}
 */
export function epmdStep (port) {
  return { label: 'epmd', command: 'epmd', args: ['-port', String(port), '-address', '127.0.0.1'], answers: () => accepts(port) }
}

/**
 * An environment without what this machine's own broker, or this process, was told by it.
 * @param {NodeJS.ProcessEnv} env
 */
export function withoutBrokerSettings (env) {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !/^(RABBITMQ|ERL|NODE)_/.test(key) && key !== 'NOTIFY_SOCKET'))
}
