import type { Test } from 'tap'
import { ClusterCore } from '../../src/cluster/cluster-core.js'
import type { Wire } from '../../src/cluster/wire.js'
import { startInstance } from './core.js'

/**
 * The cluster core of an instance without users, and without an application that is told anything. Its clock stands still,
 * and no turn ends, unless its wire says otherwise.
 */
export function startLoneCore (t: Test, wire: Pick<Wire, 'publish'> & Partial<Wire>): ClusterCore {
  return new ClusterCore({
    instance: 'alone',
    wire: { state: 'open', now: () => 0, defer () {}, later () {}, reopen: () => t.fail('its bindings are there'), ...wire },
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
