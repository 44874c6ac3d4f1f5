// Random bytes, and nearly valid ones, into the upgrade, the open socket and the queue: npm run fuzz -- [minutes]
// SEED=… repeats a run. Ends with 1 where the application crashes, leaks, or delivers what it shouldn't.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { connect } from 'amqplib'
import { WebSocket } from 'ws'
import { startPrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import { createRandom } from '../support/random.js'
import type { Figures } from './app.js'

const minutes = Number(process.argv[2] ?? 3)
const queue = 'fuzz'
const random = createRandom({ comment: text => console.log(text) })

const node = await startPrivateRabbitMQ({ log: line => console.error(line) })
const app = fork(fileURLToPath(new URL('app.ts', import.meta.url)), [node.url, queue], { execArgv: ['--expose-gc', '--import', 'tsx'] })
/** What is known so far. */
const found = { alive: true, delivered: 0, wrong: 0 }
app.once('exit', () => { found.alive = false })
const [port] = await once(app, 'message') as [number]

const broker = await connect(node.url)
const channel = await broker.createConfirmChannel()

/** Somebody who does nothing wrong, and must get everything of theirs, in order, and nothing else. */
const good = new WebSocket(`ws://127.0.0.1:${port}/notification?userId=good`)
await once(good, 'open')
good.on('message', data => { if (String(data) === `good ${found.delivered}`) found.delivered++; else found.wrong++ })

const upgrade = [
  'GET /notification?userId=bad HTTP/1.1', `Host: 127.0.0.1:${port}`, 'Upgrade: websocket', 'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', '', ''
].join('\r\n')

/** A copy with some bytes changed, left out or put in. */
function mutate (bytes: Buffer): Buffer {
  let copy = Buffer.from(bytes)
  for (let times = random.between(1, 5); times > 0; times--) {
    const at = random.between(0, copy.length)
    const what = random.between(0, 2)
    copy = Buffer.concat([copy.subarray(0, at), what === 0 ? Buffer.alloc(0) : random.bytes(random.between(1, 4)), copy.subarray(at + (what === 2 ? 0 : 1))])
  }
  return copy
}

/** A frame with a random head (RFC 6455 §5.2), mostly masked, mostly with the length that it says. */
function frame (): Buffer {
  const payload = random.bytes(random.between(0, 200))
  const opcode = random.between(0, 3) === 0 ? random.between(0, 255) : 0x80 | [0, 1, 2, 8, 9, 10][random.between(0, 5)]!
  const length = Math.min(125, payload.length)
  const mask = random.between(0, 9) > 0
  return Buffer.concat([Buffer.from([opcode, (mask ? 0x80 : 0) | length]), mask ? random.bytes(4) : Buffer.alloc(0), payload.subarray(0, length)])
}

async function attackSocket (): Promise<void> {
  const socket = connectTcp(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  const ended = once(socket, 'close').catch(() => {})
  const kind = random.between(0, 3)
  if (kind === 0) socket.write(random.bytes(random.between(1, 2_000)))
  else if (kind === 1) socket.write(mutate(Buffer.from(upgrade)))
  else {
    socket.write(upgrade)
    for (let frames = random.between(1, 30); frames > 0; frames--) socket.write(kind === 2 ? frame() : mutate(frame()))
  }
  await Promise.race([ended, delay(random.between(1, 50))])
  if (random.between(0, 1) === 0) socket.destroy()
  else socket.end()
  await Promise.race([ended, delay(1_000)])
  socket.destroy()
}

const message = Buffer.from('{"userId":"somebody","content":{"a":[1,2,"x"]},"id":"7"}')
function attackQueue (): void {
  const headers = random.between(0, 3) === 0 ? { [random.bytes(3).toString('latin1')]: random.bytes(5), n: [random.between(-1e9, 1e9), null, { x: true }] } : {}
  const body = random.between(0, 1) === 0 ? random.bytes(random.between(0, 300)) : mutate(message)
  const contentEncoding = random.oneOf(['', '', '', 'utf-8', 'gzip', 'deflate', 'br', random.bytes(5).toString('latin1')])
  channel.sendToQueue(queue, random.between(0, 9) === 0 ? mutate(gzipSync(body)) : body, { headers, contentEncoding, messageId: random.bytes(5).toString('latin1') })
}

async function figures (): Promise<Figures> {
  app.send('figures')
  return (await once(app, 'message'))[0]
}

console.log(`${minutes} minutes`)
const before = await figures()
const deadline = Date.now() + minutes * 60_000
let attacks = 0
let sent = 0
while (found.alive && Date.now() < deadline) {
  await Promise.all(Array.from({ length: 10 }, attackSocket))
  for (let n = 0; n < 10; n++) attackQueue()
  channel.sendToQueue(queue, Buffer.from(JSON.stringify({ userId: 'good', content: `good ${sent++}` })))
  await channel.waitForConfirms()
  attacks += 20
  if (attacks % 2_000 === 0) {
    await channel.purgeQueue(`${queue}.dead`)
    console.log({ attacks, ...found, ...await figures() })
  }
}
for (const until = Date.now() + 30_000; found.alive && found.delivered < sent && Date.now() < until;) await delay(20)
await delay(found.alive ? 3_000 : 0) // those that answer no close frame are ended
const after = found.alive ? await figures() : undefined
console.log({ attacks, sent, ...found, before, after })

const verdict = {
  'no crash': found.alive,
  'no wrong delivery': found.wrong === 0 && found.delivered === sent,
  'no leak': after !== undefined && after.connections === 1 && after.unsettled === 0 && after.handles - before.handles <= 5 && after.heapMiB - before.heapMiB <= 8
}
console.log(verdict)
good.terminate()
app.kill('SIGTERM')
if (found.alive) await once(app, 'exit')
await broker.close()
await node.remove()
process.exitCode = Object.values(verdict).every(Boolean) ? 0 : 1
