import { ClusterCore } from '../../src/cluster/cluster-core.js'
import type { Wire } from '../../src/cluster/wire.js'
import { startInstance } from './core.js'

/** The cluster core of an instance without users, and without an application that is told anything. */
export function startLoneCore (wire: Wire): ClusterCore {
  return new ClusterCore({
    instance: 'alone',
    wire,
    awaitsAcks: false,
    receiptTimeout: 5_000,
    publishTimeout: 5_000,
    log: undefined as never,
    unsent: { add () {}, sent () {} },
    malformed () {},
    listener: startInstance({ settle: 'sent' }).dispatcher.peerListener,
    traceOf: () => undefined,
    broadcast () {},
    multicast: () => ({ users: 0, connections: 0, outcomes: {} }),
    changeGroup () {},
    closeConnections () {}
  })
}
