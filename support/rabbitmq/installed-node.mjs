import { execFile } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { launch, logTail, terminate } from '../child.mjs'
import { accepts, freePorts } from '../network.mjs'
import { killMarked, markOf } from '../processes.mjs'
import { answersAmqp } from './answers-amqp.mjs'

const scripts = '/usr/lib/rabbitmq/bin'
const startTimeout = 60_000 // many times what a busy machine needs
const stopTimeout = 30_000

/**
 * A node of the server installed on this machine, with its own folder, ports and epmd. Nothing runs
 * before `start()`. The caller sees to it that only one of `start()` and `stop()` runs at a time;
 * `kill()` may interrupt them.
 * @param {{ plugins: string[], config: Record<string, string> }} options
 */
export function createInstalledNode ({ plugins, config }) {
  // Synchronously, so that there is no moment at which the folder exists and nobody knows of it.
  const folder = mkdtempSync(join(tmpdir(), 'private-rabbitmq-'))
  const logFile = join(folder, 'node.log')
  let env
  let amqpPort
  let epmdPort
  let running
  let kills = 0

  async function prepare () {
    const [amqp, dist, epmd] = await freePorts(3)
    const name = `${basename(folder)}@localhost`.toLowerCase()
    const wal = { 'raft.wal_max_size_bytes': '4194304' } // else 512 MB are allocated at every start
    const lines = Object.entries({ ...wal, ...config }).map(([key, value]) => `${key} = ${value}\n`)
    await mkdir(join(folder, 'conf.d'), { recursive: true })
    await writeFile(join(folder, 'rabbitmq.conf'), lines.join(''))
    await writeFile(join(folder, 'advanced.config'), '[].\n')
    await writeFile(join(folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`)

    env = {
      ...withoutBrokerSettings(process.env),
      ...markOf(folder),
      HOME: folder, // of the Erlang cookie
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_CRASH_DUMP_SECONDS: '0',
      RABBITMQ_NODENAME: name,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(amqp),
      RABBITMQ_DIST_PORT: String(dist),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_PID_FILE: join(folder, 'node.pid'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      // The machine's own settings in /etc/rabbitmq are none of this node's.
      RABBITMQ_CONFIG_FILES: join(folder, 'conf.d'),
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
      RABBITMQ_CONF_ENV_FILE: join(folder, 'no-env.conf'),
      // With "input allowed" the script becomes the Erlang process, so that its id is the one to signal;
      // otherwise it waits beside it.
      RABBITMQ_ALLOW_INPUT: '1',
      RABBITMQ_SERVER_START_ARGS: [
        '-noinput +B i -start_epmd false',
        // Named from the beginning, the node needn't start a second Erlang to make sure of an epmd.
        `-sname ${name} -kernel inet_dist_listen_min ${dist} inet_dist_listen_max ${dist}`,
        // A boot is thousands of small reads. Waking a thread for each costs most of the time in a
        // virtual machine; one that spins a little halves it, and more.
        '+SDio 1 +sbwt medium +sbwtdio medium'
      ].join(' ')
    }
    amqpPort = amqp
    epmdPort = epmd
  }

  async function start () {
    if (running && !running.exited) return
    const killsBefore = kills
    for (let attempt = 1; ; attempt++) {
      const fresh = env === undefined
      if (fresh) await prepare()
      try {
        return await boot(killsBefore)
      } catch (error) {
        await killMarked(folder)
        // Somebody else took a port in the moment between its choice and its use.
        if (!fresh || attempt === 3 || !/eaddrinuse|address already in use/i.test(error.message)) throw error
        env = undefined
      }
    }
  }

  async function boot (killsBefore) {
    const goOn = (child) => {
      if (kills !== killsBefore) throw new Error('RabbitMQ was killed while it started')
      if (child?.exited) throw new Error(`${child.label} ended while RabbitMQ started`)
    }
    await killMarked(folder) // what a node leaves that ended by itself
    const log = await open(logFile, 'w')
    try {
      goOn()
      const epmd = launch('epmd', 'epmd', ['-port', String(epmdPort), '-address', '127.0.0.1'], { cwd: folder, env, log })
      while (!await accepts(epmdPort)) {
        goOn(epmd)
        await delay(10)
      }
      goOn(epmd)
      running = launch('the server', join(scripts, 'rabbitmq-server'), [], { cwd: folder, env, log })
      const deadline = Date.now() + startTimeout
      while (!await answersAmqp(amqpPort)) {
        goOn(running)
        if (Date.now() > deadline) throw new Error(`RabbitMQ did not answer within ${startTimeout / 1_000} s`)
        await delay(20)
      }
      goOn(running)
    } catch (error) {
      throw new Error(`${error.message}. Its log ends with:\n${await logTail(logFile)}`, { cause: error })
    } finally {
      await log.close()
    }
  }

  function signal (name) {
    if (!running || running.exited) throw new Error('the node is not running')
    running.process.kill(name)
  }

  async function stop () {
    if (!running || running.exited) return
    if (!await terminate(running, stopTimeout)) {
      throw new Error(`RabbitMQ did not stop within ${stopTimeout / 1_000} s. Its log ends with:\n${await logTail(logFile)}`)
    }
    await killMarked(folder)
  }

  async function kill () {
    kills++
    running?.process.kill('SIGKILL')
    await killMarked(folder)
    await running?.exit
  }

  return {
    get port () { return amqpPort },
    start,
    stop,
    kill,
    freeze: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async ctl (args) {
      if (env === undefined) throw new Error('the node was never started')
      const { stdout } = await promisify(execFile)(join(scripts, 'rabbitmqctl'), ['--quiet', ...args], {
        cwd: folder, env, timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024
      }).catch((error) => {
        throw new Error(`rabbitmqctl ${args.join(' ')} failed:\n${error.stderr?.trim() || error.message}`, { cause: error })
      })
      return stdout
    },
    async destroy () {
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}

function withoutBrokerSettings (env) {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !/^(RABBITMQ|ERL|NODE)_/.test(key) && key !== 'NOTIFY_SOCKET'))
}
