/** Maximum bytes of a frame: the server's default for `limits.frameBytes`. */
const MAX_FRAME_BYTES = 4_096

/** Milliseconds between two frames: 33 a second. The server closes a connection that sends more than 50 a second. */
const INTERVAL = 30

const head = '{"type":"ack","ids":['
const tail = ']}'
const encoder = new TextEncoder()

/**
 * Batches the ids to acknowledge on one connection. Each frame holds as many ids as fit.
 * @param send called with the text of each frame
 */
export function createAcks (send: (text: string) => void) {
  let ids: string[] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  let stopped = false

  function sendFrame (): void {
    let bytes = head.length + tail.length
    let count = 0
    while (count < ids.length) {
      bytes += encoder.encode(ids[count]).length + 1
      if (bytes > MAX_FRAME_BYTES) break
      count++
    }
    // An id is much smaller than a frame, so at least one always fits.
    send(head + ids.splice(0, count || 1).join() + tail)
  }

  function sendNext (): void {
    timer = undefined
    sendFrame()
    if (ids.length > 0) timer = setTimeout(sendNext, INTERVAL)
  }

  return {
    add (id: string): void {
      if (stopped) return
      ids.push(JSON.stringify(id))
      timer ??= setTimeout(sendNext, INTERVAL)
    },

    /** Sends all ids at once. */
    flush (): void {
      clearTimeout(timer)
      timer = undefined
      while (ids.length > 0) sendFrame()
    },

    /** The connection has ended. */
    stop (): void {
      stopped = true
      clearTimeout(timer)
      ids = []
    }
  }
}
