// Runs a command beside a private RabbitMQ: tsx support/with-rabbitmq.ts <command> [args…]
// The command finds the node's address in TEST_AMQP_URL.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { startPrivateRabbitMQ } from './private-rabbitmq.js'

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  console.error('usage: with-rabbitmq <command> [args…]')
  process.exitCode = 64
} else {
  process.exitCode = await withRabbitMQ(command, args)
}

async function withRabbitMQ (command: string, args: string[]): Promise<number> {
  let interrupted: NodeJS.Signals | undefined
  let forward = (signal: NodeJS.Signals) => { interrupted = signal }
  const onSignal = (signal: NodeJS.Signals) => forward(signal)
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    const rabbitmq = await startPrivateRabbitMQ({ log: (line) => console.error(line) })
    try {
      if (interrupted) return 128 + constants.signals[interrupted]
      const child = spawn(command, args, {
        stdio: 'inherit',
        env: { ...process.env, TEST_AMQP_URL: rabbitmq.url }
      })
      forward = (signal) => {
        // A terminal sends its Ctrl-C to the command too, and many take the second for "at once".
        if (signal === 'SIGINT' && process.stdin.isTTY) return
        child.kill(signal)
      }
      return await new Promise((resolve) => {
        child.once('error', (error) => {
          console.error(error.message)
          resolve(127)
        })
        child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]))
      })
    } finally {
      await rabbitmq.remove()
    }
  } catch (error) {
    console.error((error as Error).message)
    return 1
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}
