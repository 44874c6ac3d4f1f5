import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

/** Which of the plugin's connections a fault is for. */
export type Purpose = 'consumer' | 'publisher' | 'relay'

/** A TCP proxy between the plugin and a broker, with faults on demand: for one of its connections, or for all. */
export interface Proxy {
  readonly port: number
  /** The same URL with the proxy's address in it. */
  through (url: string): string
  /** How many connections are open. */
  readonly connections: number
  /** How many connections there have been. */
  readonly accepted: number
  /** Ends every connection with a reset (RST). */
  reset (purpose?: Purpose): void
  /** Ends every connection in an orderly way (FIN). */
  end (purpose?: Purpose): void
  /** Forwards nothing more in either direction, and says nothing: what is on the wire is held until {@link forward}. */
  blackhole (purpose?: Purpose): void
  /** Forwards nothing more from the broker to the plugin, until {@link forward}. */
  mute (purpose: Purpose): void
  /** The same for each connection on which the plugin sends these bytes, from then on. */
  muteAt (bytes: Buffer): void
  /** How many bytes from the broker are held since then. */
  readonly muted: number
  forward (): void
  /** Sends bytes to the broker as if the plugin had. */
  inject (bytes: Buffer, purpose: Purpose): void
  /** Resets each new connection after so many bytes from the broker; undefined, never. */
  resetAfter (bytes: number | undefined): void
  /** Forwards nothing more of each new connection after so many bytes from the broker. */
  holdAfter (bytes: number): void
  /** How many connections are held. */
  readonly holding: number
}

/**
 * Starts a proxy to the host and port of a URL, which ends with the test.
 * @param listenOn a port of the loopback interface; any free one where left out
 */
export async function startProxy (t: Test, target: string, listenOn = 0): Promise<Proxy> {
  const { hostname: host, port } = new URL(target)
  const pairs = new Set<Pair>()
  let accepted = 0
  /** Whether new connections are held too. */
  let holdNew = false
  let resetLimit: number | undefined
  let holdLimit: number | undefined
  let muteBytes: Buffer | undefined
  const heldPairs = new Set<Pair>()

  const server = createServer({ noDelay: true }, client => {
    accepted++
    const upstream = connect({ host, port: Number(port), noDelay: true })
    const pair: Pair = { client, upstream, purpose: undefined, muted: undefined }
    pairs.add(pair)
    client.on('data', chunk => {
      pair.purpose ??= /fastify-notification (consumer|publisher|relay) of/.exec(chunk.toString('latin1'))?.[1] as Purpose
      if (muteBytes !== undefined && chunk.includes(muteBytes)) mutePair(pair)
    })
    let received = 0
    upstream.on('data', chunk => {
      received += chunk.length
      pair.muted?.push(chunk)
      if (resetLimit !== undefined && received > resetLimit) resetPair(pair)
      if (holdLimit !== undefined && received > holdLimit) hold(pair)
    })
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      from.on('error', () => {}) // it closes
      from.on('close', () => {
        // A broker misses heartbeats too, and ends the connection: of that the plugin hears nothing either.
        if (from === client || !heldPairs.has(pair)) endPair(pair)
      })
      from.pipe(to)
    }
    if (holdNew) hold(pair)
  })
  server.listen(listenOn, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const { client, upstream } of pairs) {
      client.destroy()
      upstream.destroy()
    }
    server.close()
  })

  function hold (pair: Pair): void {
    pair.client.unpipe(pair.upstream).pause()
    pair.upstream.unpipe(pair.client).pause()
    heldPairs.add(pair)
  }

  function endPair (pair: Pair): void {
    pairs.delete(pair)
    heldPairs.delete(pair)
    pair.client.destroy()
    pair.upstream.destroy()
  }

  function select (purpose: Purpose | undefined): Pair[] {
    return [...pairs].filter(pair => purpose === undefined || pair.purpose === purpose)
  }

  const own = (server.address() as AddressInfo).port
  return {
    port: own,
    through (url) {
      const proxied = new URL(url)
      proxied.hostname = '127.0.0.1'
      proxied.port = String(own)
      return proxied.href
    },
    get connections () { return pairs.size },
    get accepted () { return accepted },
    reset (purpose) { select(purpose).forEach(resetPair) },
    end (purpose) {
      for (const { client, upstream } of select(purpose)) {
        client.end()
        upstream.end()
      }
    },
    blackhole (purpose) {
      holdNew = purpose === undefined
      select(purpose).forEach(hold)
    },
    mute (purpose) {
      select(purpose).forEach(mutePair)
    },
    muteAt (bytes) { muteBytes = bytes },
    get muted () {
      return [...pairs].flatMap(({ muted }) => muted ?? []).reduce((sum, chunk) => sum + chunk.length, 0)
    },
    forward () {
      holdNew = false
      holdLimit = undefined
      muteBytes = undefined
      for (const pair of pairs) {
        if (pair.muted === undefined) continue
        pair.client.write(Buffer.concat(pair.muted))
        pair.muted = undefined
        pair.upstream.pipe(pair.client)
      }
      for (const pair of heldPairs) {
        const { client, upstream } = pair
        if (upstream.destroyed) {
          endPair(pair)
          continue
        }
        client.pipe(upstream)
        upstream.pipe(client)
      }
      heldPairs.clear()
    },
    inject (bytes, purpose) { for (const { upstream } of select(purpose)) upstream.write(bytes) },
    resetAfter (bytes) { resetLimit = bytes },
    holdAfter (bytes) { holdLimit = bytes },
    get holding () { return heldPairs.size }
  }
}

interface Pair {
  client: Socket
  upstream: Socket
  purpose: Purpose | undefined
  /** What has come from the broker, where it is not forwarded. */
  muted: Buffer[] | undefined
}

function mutePair (pair: Pair): void {
  pair.muted ??= []
  pair.upstream.unpipe(pair.client).resume()
}

function resetPair ({ client, upstream }: Pair): void {
  client.resetAndDestroy()
  upstream.resetAndDestroy()
}
