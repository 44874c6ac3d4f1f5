import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { pathOf, routerRules, type RouterRules } from './route-path.js'
import type { Upgrade, UpgradeSocket } from './upgrade.js'
import type { UpgradeGate } from './upgrade-gate.js'

/** A registration of the plugin, as the listener sees it. */
export interface UpgradeTaker {
  readonly gate: UpgradeGate | undefined
  isOwnPath (path: string): boolean
  watch (request: IncomingMessage, socket: UpgradeSocket, head: Buffer, isOwn: boolean): Upgrade | undefined
  give (upgrade: Upgrade): void
  offer (upgrade: Upgrade): void
  endOnceAnswered (upgrade: Upgrade): void
}

/** All registrations of the plugin on one server. They share one listener. */
interface Listening {
  readonly all: UpgradeTaker[]
  stop (): void
}

const listening = new WeakMap<EventEmitter, Listening>()

/**
 * Passes the upgrades of the application's server to a registration of the plugin.
 * @returns a function that stops this
 */
export function listenToUpgrades (app: FastifyInstance, upgrades: UpgradeTaker): () => void {
  const server: EventEmitter = app.server
  const { all, stop } = listening.get(server) ?? listen(server, routerRules(app))
  all.push(upgrades)
  return () => {
    if (all.includes(upgrades)) all.splice(all.indexOf(upgrades), 1)
    if (all.length === 0) stop()
  }
}

function listen (server: EventEmitter, rules: RouterRules): Listening {
  const all: UpgradeTaker[] = []

  function onUpgrade (request: IncomingMessage, socket: UpgradeSocket, head: Buffer): void {
    const path = pathOf(request.url!, rules)
    const own = all.find(one => one.isOwnPath(path))
    const taker = own ?? all.find(({ gate }) => gate?.hasRoute(path)) ?? all.find(({ gate }) => gate !== undefined) ?? all[0]!
    const upgrade = taker.watch(request, socket, head, own !== undefined)
    if (upgrade === undefined) return
    // When the other listeners have had their turn, perhaps one of them has begun to answer.
    if (taker.gate === undefined || server.listenerCount('upgrade') > 1) process.nextTick(() => taker.endOnceAnswered(upgrade))
    if (taker.gate === undefined) return
    if (server.listenerCount('upgrade') === 1) taker.give(upgrade)
    // Other listeners come first. An upgrade without a route here is left to them, because they may answer later.
    else if (own !== undefined || taker.gate.hasRoute(path)) queueMicrotask(() => taker.offer(upgrade))
  }

  // This listener must run first. It notes how much was written before, so that answers of others can be noticed.
  server.prependListener('upgrade', onUpgrade)
  const entry = {
    all,
    stop () {
      server.removeListener('upgrade', onUpgrade)
      listening.delete(server)
    }
  }
  listening.set(server, entry)
  return entry
}
