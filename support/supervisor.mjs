// Owns one private server. Runs as a process of its own, so that the server goes when the process that
// asked for it goes, however that ends: the channel between them closes. Plain JavaScript, because it
// must run under any loader and under none.
import { createDockerNode } from './rabbitmq/docker-node.mjs'
import { createEpmd } from './rabbitmq/epmd.mjs'
import { createInstalledNode } from './rabbitmq/installed-node.mjs'
import { createRedisServer } from './redis/redis-server.mjs'

const kinds = {
  epmd: createEpmd,
  'rabbitmq-docker': createDockerNode,
  'rabbitmq-installed': createInstalledNode,
  redis: createRedisServer
}

let server
let removal
let queue = Promise.resolve()

function inTurn (step) {
  const result = queue.then(step)
  queue = result.catch(() => {})
  return result
}

async function start () {
  if (removal) throw new Error('the server was removed')
  await server.start()
  return server.port
}

// Twice: at once, to interrupt a start, and in turn, to end what that start left.
async function kill () {
  await server.kill()
  await inTurn(() => server.kill())
}

function remove () {
  removal ??= (async () => {
    if (!server) return
    await server.kill().catch(() => {}) // destroy() tries again and says why it can't
    await inTurn(() => server.destroy())
  })()
  return removal
}

const commands = {
  create ({ kind, options }) {
    if (removal) throw new Error('the server was removed')
    server = kinds[kind](options)
    return inTurn(start)
  },
  start: () => inTurn(start),
  stop: () => inTurn(() => server.stop()),
  kill,
  freeze: () => server.freeze(),
  resume: () => server.resume(),
  ctl: (args) => server.ctl(args),
  remove
}

function answer (message) {
  if (process.connected) process.send(message, () => {})
}

async function end () {
  await remove()
  if (process.connected) process.disconnect()
}

process.on('message', async ({ id, command, argument }) => {
  try {
    answer({ id, value: await commands[command](argument) })
  } catch (error) {
    answer({ id, error: error.message })
  }
})
process.on('disconnect', end)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, end)
// Who asked may have gone while we were loaded; that event is over, while a message waits for its listener.
if (!process.connected) end()
