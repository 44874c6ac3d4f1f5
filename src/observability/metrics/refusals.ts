import { errors } from '../../errors.js'

const PREFIX = 'FST_NOTIFICATION_'

/** The errors with which the plugin itself refuses an upgrade. */
const own = [
  errors.InvalidUserId, errors.UnknownSubprotocol, errors.Unauthenticated, errors.ForbiddenOrigin, errors.ForbiddenUser,
  errors.TooManyConnectionsOfUser, errors.InvalidIdentity, errors.AuthenticateFailed, errors.TooManyConnections,
  errors.TooManyUpgrades, errors.TooManyUpgradesOfAddress, errors.UpgradeTimeout, errors.Closing
].map(CodedError => new (CodedError as new () => { code: string, statusCode: number })())

/** The usual statuses of the application's hooks and `authenticate`. All other HTTP statuses count together. */
const STATUSES = [400, 401, 403, 404, 429, 500, 502, 503, 504]

const reasons = new Map(own.map(({ code }) => [code, code.slice(PREFIX.length).toLowerCase().replaceAll('_', '-')]))

/** All other error codes are from the application, or from its dependencies. */
function reasonOf (code: string | undefined): string {
  return reasons.get(code!) ?? 'application'
}

/** Counts refused upgrades. */
export function createRefusals () {
  const counts = new Map<string, { status: string, reason: string, count: number }>()

  function countOf (status: string, reason: string): { count: number } {
    const key = `${status} ${reason}`
    let entry = counts.get(key)
    if (entry === undefined) counts.set(key, entry = { status, reason, count: 0 })
    return entry
  }

  // Start all counters at 0: if a counter first appears as 1, Prometheus does not see an increase.
  for (const { code, statusCode } of own) countOf(String(statusCode), reasonOf(code))
  for (const status of STATUSES) countOf(String(status), reasonOf(undefined))
  countOf('none', reasonOf(new errors.UpgradeTimeout().code))

  return {
    /**
     * @param status the status of the answer; undefined if the socket ended without an answer
     * @param code the code of the error, if any
     */
    add (status: number | undefined, code: string | undefined): void {
      const label = status === undefined ? 'none' : STATUSES.includes(status) ? String(status) : 'other'
      countOf(label, reasonOf(code)).count++
    },
    get counts () { return counts.values() }
  }
}
