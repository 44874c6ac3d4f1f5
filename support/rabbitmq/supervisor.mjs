// Owns one private node. Runs as a process of its own, so that the node goes when the process that
// asked for it goes, however that ends: the channel between them closes. Plain JavaScript, because it
// must run under any loader and under none.
import { createDockerNode } from './docker-node.mjs'
import { createInstalledNode } from './installed-node.mjs'

let node
let removal
let queue = Promise.resolve()

function inTurn (step) {
  const result = queue.then(step)
  queue = result.catch(() => {})
  return result
}

async function start () {
  if (removal) throw new Error('the node was removed')
  await node.start()
  return node.port
}

// Twice: at once, to interrupt a start, and in turn, to end what that start left.
async function kill () {
  await node.kill()
  await inTurn(() => node.kill())
}

function remove () {
  removal ??= (async () => {
    if (!node) return
    await node.kill().catch(() => {}) // destroy() tries again and says why it can't
    await inTurn(() => node.destroy())
  })()
  return removal
}

const commands = {
  create ({ source, ...options }) {
    if (removal) throw new Error('the node was removed')
    node = source === 'docker' ? createDockerNode(options) : createInstalledNode(options)
    return inTurn(start)
  },
  start: () => inTurn(start),
  stop: () => inTurn(() => node.stop()),
  kill,
  freeze: () => node.freeze(),
  resume: () => node.resume(),
  ctl: (args) => node.ctl(args),
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
