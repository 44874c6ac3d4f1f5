// npm start [-- --instances N]: the server alone, or several instances that share the queue.
import { parseArgs } from 'node:util'
import { startInstances } from './instances.js'

const MOST = 20

try {
  const { values: { instances } } = parseArgs({ options: { instances: { type: 'string', default: '1' } } })
  const count = Number(instances)
  if (!Number.isInteger(count) || count < 1 || count > MOST) throw new Error(`--instances takes a whole number from 1 to ${MOST}, not '${instances}'`)
  if (count === 1) await import('./server.js')
  else await startInstances(count)
} catch (error) {
  console.error(`The example could not start: ${(error as Error).message}`)
  process.exitCode = 1
}
