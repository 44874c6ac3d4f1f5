// Many clients in one process: node --import tsx crowd.ts <url up to the userId> <count>. Each is a user of its own.
import { WebSocket } from 'ws'

const [url, count] = process.argv.slice(2) as [string, string]
const wanted = Number(count)
let connected = 0
let errors = 0
let lastError = ''
let received = 0

function tell (): void {
  if (connected + errors === wanted) console.log(`${connected} connected, ${errors} errors${lastError}`)
}

function connect (n: number): void {
  const socket = new WebSocket(url + n)
  let opened = false
  socket.on('open', () => {
    opened = true
    connected++
    tell()
  })
  socket.on('error', error => {
    if (opened) return
    // On a busy machine the queue of the kernel overflows before the server accepts. A refusal of the server is an answer.
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return connect(n)
    errors++
    lastError = `, the last one: ${error.message}`
    tell()
  })
  socket.on('message', () => {
    if (++received === wanted) console.log(`${received} received`)
  })
}

for (let n = 0; n < wanted; n++) connect(n)
