// Measures this package against what one would otherwise write or pick, and writes the figures down, into the documents too.
// Those of workloads that are not measured stay as they were.
// npm run bench [-- --only 'bursts;large' --rounds 5 --json FILE --profile FOLDER]
import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { connect } from 'amqplib'
import { startPrivateRedis } from '../support/private-redis.js'
import { startPrivateRabbitMQ } from '../support/private-rabbitmq.js'
import { Progress } from './progress.js'
import { table, verdicts } from './report.js'
import { createResults, type Measurement } from './results.js'
import { versions } from './versions.js'
import { workloads } from './workloads.js'
import { KEPT, writeDown } from './write-down.js'

const everything = Object.keys(workloads).join(';')
const { values: { only, rounds, json, profile } } = parseArgs({
  options: {
    only: { type: 'string', default: everything },
    rounds: { type: 'string', default: '5' },
    profile: { type: 'string' },
    json: { type: 'string', default: KEPT }
  }
})

async function read (file: string): Promise<Partial<Measurement>> {
  return JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Partial<Measurement> // there is none yet
}

const log = (line: string) => console.error(line)
const earlier = await read(json)
const selected = only.split(';')
const unknown = selected.filter(name => workloads[name] === undefined)
if (unknown.length > 0) throw new Error(`no workload ${unknown.join(', ')}; there are: ${Object.keys(workloads).join('; ')}`)
const progress = new Progress(selected, Number(rounds), { ...(await read(KEPT)).secondsPerRound, ...earlier.secondsPerRound }, log)
const rabbitmq = await startPrivateRabbitMQ({ log })
const redis = await startPrivateRedis({ log })
try {
  const connection = await connect(rabbitmq.url, { noDelay: true }) // what waits here would count as theirs
  connection.on('error', () => {}) // where a workload fails, the broker goes first, and would hide why
  const channel = await connection.createChannel()
  const results = createResults()
  for (const name of selected) {
    progress.begin(name)
    await workloads[name]!({ common: { amqpUrl: rabbitmq.url, channel, profile }, ctl: rabbitmq.ctl, redisUrl: redis.url, rounds: Number(rounds), results, log })
    progress.end(name)
  }
  await connection.close()

  const fresh = results.rows()
  console.log(`${table(fresh)}\n\n${verdicts(fresh)}`)
  // What was measured before and not now stays.
  const names = new Set(fresh.map(({ workload }) => workload))
  const rows = [...earlier.rows ?? [], ...fresh].filter(row => fresh.includes(row) || !names.has(row.workload))
  const measured: Measurement = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpus()[0]!.model}`,
    versions: { node: process.versions.node, rabbitmq: (await rabbitmq.ctl('version')).trim(), ...versions() },
    secondsPerRound: progress.secondsPerRound,
    rows
  }
  await writeDown(json, measured)
} finally {
  await rabbitmq.remove()
  await redis.remove()
}
