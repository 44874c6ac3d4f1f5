import { errors } from '../../errors.js'

const PREFIX = 'FST_NOTIFICATION_'

/** With what the plugin itself refuses. */
const own = [
  errors.InvalidUserId, errors.UnknownSubprotocol, errors.Unauthenticated, errors.ForbiddenOrigin, errors.ForbiddenUser,
  errors.TooManyConnectionsOfUser, errors.InvalidIdentity, errors.AuthenticateFailed, errors.TooManyConnections,
  errors.TooManyUpgrades, errors.UpgradeTimeout, errors.Closing
].map(CodedError => new (CodedError as new () => { code: string, statusCode: number })())

/** What hooks and `authenticate` of the application answer; the rest of HTTP's statuses count together. */
const STATUSES = [400, 401, 403, 404, 429, 500, 502, 503, 504]

const reasons = new Map(own.map(({ code }) => [code, code.slice(PREFIX.length).toLowerCase().replaceAll('_', '-')]))

/** Others are of the application, or of what it uses. */
function reasonOf (code: string | undefined): string {
  return reasons.get(code!) ?? 'application'
}

/** Counts the upgrades that are refused. */
export function createRefusals () {
  const counts = new Map<string, { status: string, reason: string, count: number }>()

  function countOf (status: string, reason: string): { count: number } {
    const key = `${status} ${reason}`
    let entry = counts.get(key)
    if (entry === undefined) counts.set(key, entry = { status, reason, count: 0 })
    return entry
  }

  // A counter that appears with its first 1 has not increased, for Prometheus.
  for (const { code, statusCode } of own) countOf(String(statusCode), reasonOf(code))
  for (const status of STATUSES) countOf(String(status), reasonOf(undefined))
  for (const { code } of [new errors.TooManyUpgrades(), new errors.UpgradeTimeout()]) countOf('none', reasonOf(code))

  return {
    /**
     * @param status of the answer; undefined where the socket was ended without one
     * @param code of the error, if there is one
     */
    add (status: number | undefined, code: string | undefined): void {
      const label = status === undefined ? 'none' : STATUSES.includes(status) ? String(status) : 'other'
      countOf(label, reasonOf(code)).count++
    },
    get counts () { return counts.values() }
  }
}
