/** What a close code says that arrives without a reason: those of WebSockets, and from 4000 on the plugin's own. */
const closeCodes = {
  1000: 'closed in order',
  1001: 'the server is going away',
  1002: 'the protocol was broken',
  1003: 'a binary message was not wanted',
  1005: 'closed without a code',
  1006: 'the connection broke or was refused',
  1007: 'a text was not UTF-8',
  1008: 'against the policy of the server',
  1009: 'a message was too big',
  1011: 'the server failed',
  1012: 'the server restarts',
  1013: 'try again later',
  4000: 'read too slowly',
  4001: 'did not answer a ping',
  4002: 'did not acknowledge in time',
  4500: 'the credentials have expired',
  4501: 'not authenticated',
  4502: 'disconnected by the application',
  4503: 'not allowed'
}

/** A close code in words. */
export function describeClose ({ code, reason }) {
  return `with code ${code}: ${reason || closeCodes[code] || 'no reason given'}`
}
