import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePorts } from '../network.mjs'
import { answersAmqp } from './answers-amqp.mjs'
import { tlsSettings, writeTlsFiles } from './tls.mjs'

const { RABBITMQ_IMAGE: image = 'rabbitmq:4' } = process.env
const startTimeout = 120_000

/**
 * A node in a container, with the same operations as the one of an installed server.
 * @param {{ plugins: string[], config: Record<string, string>, tls?: import('./tls.mjs').Tls }} options
 */
export function createDockerNode ({ plugins, config, tls }) {
  const folder = mkdtempSync(join(tmpdir(), 'private-rabbitmq-'))
  const name = `private-rabbitmq-${randomUUID()}`
  let port
  let created = false
  let kills = 0

  async function create () {
    [port] = await freePorts(1)
    await docker('create', '--name', name, '--label', 'fastify-notification=private-rabbitmq',
      '--publish', `127.0.0.1:${port}:5672`, ...tls ? ['--publish', `127.0.0.1:${tls.port}:5671`] : [], image)
    created = true
    const lines = Object.entries({ ...config, ...tls && tlsSettings('/etc/rabbitmq', '5671', tls) }).map(([key, value]) => `${key} = ${value}\n`)
    await writeFile(join(folder, '90-private.conf'), lines.join(''), { mode: 0o644 })
    await writeFile(join(folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`, { mode: 0o644 })
    for (const file of tls ? await writeTlsFiles(folder, tls) : []) await docker('cp', join(folder, file), `${name}:/etc/rabbitmq/${file}`)
    await docker('cp', join(folder, '90-private.conf'), `${name}:/etc/rabbitmq/conf.d/90-private.conf`)
    await docker('cp', join(folder, 'enabled_plugins'), `${name}:/etc/rabbitmq/enabled_plugins`)
  }

  async function state () {
    return (await docker('inspect', '--format', '{{.State.Status}}', name)).trim()
  }

  async function start () {
    const killsBefore = kills
    if (!created) await create()
    if (kills !== killsBefore) throw new Error('RabbitMQ was killed while it started')
    await docker('start', name)
    const deadline = Date.now() + startTimeout
    while (!await answersAmqp(port)) {
      const current = await state()
      if (current !== 'running' || Date.now() > deadline) {
        const log = await docker('logs', '--tail', '30', name).catch((error) => error.message)
        throw new Error(`RabbitMQ did not start, its container is ${current}. Its log ends with:\n${log}`)
      }
      await delay(100)
    }
  }

  async function stop () {
    if (!created) return
    if (await state() === 'paused') await docker('unpause', name)
    await docker('stop', '--time', '30', name)
  }

  async function kill () {
    kills++
    if (!created || !['running', 'paused'].includes(await state())) return
    await docker('kill', '--signal', 'KILL', name)
    await docker('wait', name)
  }

  return {
    get port () { return port },
    start,
    stop,
    kill,
    freeze: () => docker('pause', name),
    resume: () => docker('unpause', name),
    ctl: (args) => docker('exec', name, 'rabbitmqctl', '--quiet', ...args),
    async destroy () {
      if (created) await docker('rm', '--force', '--volumes', name)
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function docker (...args) {
  try {
    const { stdout, stderr } = await promisify(execFile)('docker', args, { maxBuffer: 64 * 1024 * 1024 })
    return args[0] === 'logs' ? stdout + stderr : stdout
  } catch (error) {
    throw new Error(`docker ${args.join(' ')} failed:\n${error.stderr?.trim() || error.message}`, { cause: error })
  }
}
