import { mkdtempSync } from 'node:fs'
import { open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { launch, logTail, terminate } from '../child.mjs'
import { exchange, freePorts } from '../network.mjs'
import { killMarked, markOf } from '../processes.mjs'

const startTimeout = 30_000 // many times what a busy machine needs
const stopTimeout = 30_000

/**
 * A Redis with its own folder and port, with the operations of a RabbitMQ node.
 * @param {{ command: string, config: Record<string, string> }} options
 */
export function createRedisServer ({ command, config }) {
  // Synchronously, so that there is no moment at which the folder exists and nobody knows of it.
  const folder = mkdtempSync(join(tmpdir(), 'private-redis-'))
  const logFile = join(folder, 'redis.log')
  let port
  let running
  let kills = 0

  async function prepare () {
    const [free] = await freePorts(1)
    const lines = Object.entries({ appendonly: 'yes', appendfsync: 'always', save: '""', ...config, bind: '127.0.0.1', port: free, dir: folder })
    await writeFile(join(folder, 'redis.conf'), lines.map(([key, value]) => `${key} ${value}\n`).join(''))
    port = free
  }

  async function start () {
    if (running && !running.exited) return
    const killsBefore = kills
    for (let attempt = 1; ; attempt++) {
      const fresh = port === undefined
      if (fresh) await prepare()
      try {
        return await boot(killsBefore)
      } catch (error) {
        await killMarked(folder)
        // Somebody else took the port in the moment between its choice and its use.
        if (!fresh || attempt === 3 || !/address already in use/i.test(error.message)) throw error
        port = undefined
      }
    }
  }

  async function boot (killsBefore) {
    const log = await open(logFile, 'w')
    try {
      if (kills !== killsBefore) throw new Error('Redis was killed while it started')
      running = launch('the server', command, [join(folder, 'redis.conf')], { cwd: folder, env: { ...process.env, ...markOf(folder) }, log })
      const deadline = Date.now() + startTimeout
      while (!await answers(port)) {
        if (kills !== killsBefore) throw new Error('Redis was killed while it started')
        if (running.exited) throw new Error('Redis ended while it started')
        if (Date.now() > deadline) throw new Error(`Redis did not answer within ${startTimeout / 1_000} s`)
        await delay(10)
      }
      // Who answered may be somebody else, who took the port before.
      if (running.exited) throw new Error('Redis ended while it started')
    } catch (error) {
      throw new Error(`${error.message}. Its log ends with:\n${await logTail(logFile)}`, { cause: error })
    } finally {
      await log.close()
    }
  }

  function signal (name) {
    if (!running || running.exited) throw new Error('the server is not running')
    running.process.kill(name)
  }

  async function kill () {
    kills++
    running?.process.kill('SIGKILL')
    await killMarked(folder)
    await running?.exit
  }

  return {
    get port () { return port },
    start,
    async stop () {
      if (!running || running.exited) return
      if (!await terminate(running, stopTimeout)) throw new Error(`Redis did not stop within ${stopTimeout / 1_000} s`)
    },
    kill,
    freeze: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async destroy () {
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}

/** Whether it serves: it says PONG, or that a password is needed; `-LOADING` while it reads its data. */
function answers (port) {
  return exchange(port, Buffer.from('PING\r\n'), (bytes) => {
    if (!bytes.includes('\r\n')) return undefined
    return /^(\+PONG|-NOAUTH)/.test(bytes.toString())
  })
}
