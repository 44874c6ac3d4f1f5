import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { freePorts } from '../network.mjs'
import { createServer } from '../server.mjs'
import { answersAmqp } from './answers-amqp.mjs'
import { epmdStep, withoutBrokerSettings } from './epmd.mjs'
import { tlsSettings, writeTlsFiles } from './tls.mjs'

// A frozen node is given up by the others of its cluster after 10 s, give or take a quarter; by default it would be a
// minute. rabbitmq.conf comes too late to say so, and whoever talks to a node has to keep the same time.
const tickTime = '-kernel net_ticktime 10'
const scripts = '/usr/lib/rabbitmq/bin'

/**
 * A node of the server installed on this machine, with its own folder and ports: with an epmd of its own, or one of a
 * cluster's, whose nodes share an epmd and a cookie and know each other by name.
 * @param {{
 *   plugins: string[],
 *   config: Record<string, string>,
 *   tls?: import('./tls.mjs').Tls,
 *   member?: { name: string, cookie: string, epmdPort: number }
 * }} options
 */
export function createInstalledNode ({ plugins, config, tls, member }) {
  const server = createServer('RabbitMQ', async (folder) => {
    const [port, dist, ownEpmdPort] = await freePorts(3)
    const { name, cookie, epmdPort } = member ?? { name: `${basename(folder)}@localhost`.toLowerCase(), epmdPort: ownEpmdPort }
    await writeSettings(folder, { plugins, config: { ...config, ...tls && tlsSettings(folder, `127.0.0.1:${tls.port}`, tls) }, cookie })
    if (tls !== undefined) await writeTlsFiles(folder, tls)
    const broker = { label: 'the server', command: join(scripts, 'rabbitmq-server'), args: [], answers: () => answersAmqp(port) }
    return {
      port,
      env: environment(folder, { name, port, dist, epmdPort }),
      steps: member ? [broker] : [epmdStep(epmdPort), broker]
    }
  })
  return Object.assign(server, {
    ctl: (args) => server.run(join(scripts, 'rabbitmqctl'), ['--quiet', ...args]).catch((error) => {
      throw new Error(`rabbitmqctl ${args.join(' ')} failed:\n${error.stderr?.trim() || error.message}`, { cause: error })
    })
  })
}

async function writeSettings (folder, { plugins, config, cookie }) {
  const wal = { 'raft.wal_max_size_bytes': '4194304' } // else 512 MB are allocated at every start
  const lines = Object.entries({ ...wal, ...config }).map(([key, value]) => `${key} = ${value}\n`)
  await mkdir(join(folder, 'conf.d'), { recursive: true })
  await writeFile(join(folder, 'rabbitmq.conf'), lines.join(''))
  await writeFile(join(folder, 'advanced.config'), '[].\n')
  await writeFile(join(folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`)
  // Without one, Erlang makes one up.
  if (cookie !== undefined) await writeFile(join(folder, '.erlang.cookie'), cookie, { mode: 0o600 })
}

function environment (folder, { name, port, dist, epmdPort }) {
  return {
    ...withoutBrokerSettings(process.env),
    HOME: folder, // of the Erlang cookie
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP_SECONDS: '0',
    RABBITMQ_NODENAME: name,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
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
    RABBITMQ_CTL_ERL_ARGS: tickTime,
    RABBITMQ_SERVER_START_ARGS: [
      '-noinput +B i -start_epmd false',
      // Named from the beginning, the node needn't start a second Erlang to make sure of an epmd.
      `-sname ${name} -kernel inet_dist_use_interface {127,0,0,1} inet_dist_listen_min ${dist} inet_dist_listen_max ${dist}`,
      tickTime,
      // A boot is thousands of small reads. Waking a thread for each costs most of the time in a
      // virtual machine; one that spins a little halves it, and more.
      '+SDio 1 +sbwt medium +sbwtdio medium'
    ].join(' ')
  }
}
