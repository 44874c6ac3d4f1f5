// A mixed load for a given time, with abusive clients and faults in between: npm run soak -- [minutes]
// Prints what must stay flat and what must be zero, over time, and ends with 1 where it isn't.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startPrivateRabbitMQ } from '../../support/private-rabbitmq.js'
import type { Figures } from './app.js'
import { createTraffic, type Account } from './traffic.js'

const minutes = Number(process.argv[2] ?? 10)
const FAULT_EVERY = 15_000 // ms
const REPORT_EVERY = 10_000 // ms

const node = await startPrivateRabbitMQ({ log: line => console.error(line) })
const app = fork(fileURLToPath(new URL('app.ts', import.meta.url)), [node.url, 'soak'], { execArgv: ['--expose-gc', '--import', 'tsx'] })
const [port] = await once(app, 'message') as [number]
const traffic = createTraffic(node.url, 'soak', port)

const faults: Array<[name: string, strike: () => Promise<void>]> = [
  ['broker killed', async () => {
    await node.kill()
    await node.start()
  }],
  ['connections closed', async () => { await node.ctl('close_all_connections', 'soak') }],
  ['broker stopped', async () => {
    await node.ctl('stop_app')
    await node.ctl('start_app')
  }],
  ['broker frozen for 3 s', async () => {
    await node.freeze()
    await delay(3_000)
    await node.resume()
  }],
  ['memory alarm for 3 s', async () => {
    await node.ctl('set_vm_memory_high_watermark', '0.00001')
    await delay(3_000)
    await node.ctl('set_vm_memory_high_watermark', '0.4')
  }]
]
let struck = 0

async function strike (signal: AbortSignal): Promise<void> {
  while (true) {
    await delay(FAULT_EVERY, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    await faults[struck++ % faults.length]![1]()
  }
}

async function figures (): Promise<Figures> {
  app.send('figures')
  const [answer] = await once(app, 'message')
  return answer
}

const started = Date.now()
function print (account: Account, { heapMiB, rssMiB, ...rest }: Figures): void {
  const fault = struck === 0 ? 'none' : faults[(struck - 1) % faults.length]![0]
  const cells = { s: Math.round((Date.now() - started) / 1_000), ...account, heapMiB: heapMiB.toFixed(1), rssMiB: rssMiB.toFixed(0), ...rest, faults: struck, fault }
  if (header === '') console.log(header = Object.keys(cells).map(name => name.padStart(11)).join(' '))
  console.log(Object.values(cells).map(value => String(value).padStart(11)).join(' '))
}
let header = ''

await traffic.start()
const stopStriking = new AbortController()
const striking = strike(stopStriking.signal)
const samples: Figures[] = []
while (Date.now() - started < minutes * 60_000) {
  await delay(REPORT_EVERY)
  samples.push(await figures())
  print(traffic.account(), samples.at(-1)!)
}
stopStriking.abort()
await striking
const account = await traffic.finish(60_000)
const last = await figures()
print(account, last)

// Between the first quarter, by which everything is warm, and the end.
const warm = samples[Math.floor(samples.length / 4)] ?? last
const verdict = {
  'nothing lost': account.missing === 0,
  'nothing astray': account.strays === 0,
  'nothing unsettled': last.unsettled === 0,
  'heap flat (+8 MiB at most)': last.heapMiB - warm.heapMiB <= 8,
  'handles flat (+5 at most)': last.handles - warm.handles <= 5,
  'listeners flat': last.listeners === warm.listeners
}
console.log(verdict)

app.kill('SIGTERM')
const [code, signal] = await once(app, 'exit')
console.log(`the application ended with ${code ?? signal}`)
await node.remove()
process.exitCode = code === 0 && Object.values(verdict).every(Boolean) ? 0 : 1
