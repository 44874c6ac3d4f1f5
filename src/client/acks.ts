/** What a frame may weigh, the server's default for `limits.frameBytes`. */
const MAX_FRAME_BYTES = 4_096

/** Milliseconds between two frames: 33 a second, where the server closes a connection that sends more than 50. */
const INTERVAL = 30

const head = '{"type":"ack","ids":['
const tail = ']}'
const encoder = new TextEncoder()

/**
 * Gathers the ids to acknowledge on one connection, and sends as many in a frame as it holds.
 * @param send is given the text of each frame
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
    // An id is much smaller than a frame, so there is always one.
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

    /** Sends everything, now. */
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
