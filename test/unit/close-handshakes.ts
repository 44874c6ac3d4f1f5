import { test } from 'tap'
import { CloseHandshakes } from '../../src/websocket/close-handshakes.js'
import type { Connection } from '../../src/websocket/connection.js'

/** A connection that counts how often its socket was terminated. */
function createConnection () {
  const socket = { terminated: 0, terminate () { this.terminated++ } }
  return { connection: { socket } as unknown as Connection, socket }
}

test('a socket whose client has not answered the close frame in time is terminated, and no other', async t => {
  const patient = new CloseHandshakes(600_000)
  const impatient = new CloseHandshakes(0)
  const [inTime, late, answered] = [createConnection(), createConnection(), createConnection()]
  patient.begin(inTime.connection)
  impatient.begin(answered.connection)
  impatient.begin(late.connection)
  impatient.end(answered.connection)
  patient.terminateOverdue()
  impatient.terminateOverdue()
  t.same([inTime, late, answered].map(({ socket }) => socket.terminated), [0, 1, 0])
})
