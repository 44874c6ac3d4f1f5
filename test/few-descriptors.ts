import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'tap'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProgram } from './support/process.js'
import { startProxy } from './support/proxy.js'

/** Connections that say nothing. Whoever is turned away comes back before the plugin tries its broker again. */
class Crowd {
  turnedAway = 0
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #hasLeft = false

  constructor (port: number) {
    this.#port = port
  }

  push (): void {
    if (this.#hasLeft) return
    const socket = connect(this.#port, '127.0.0.1')
    this.#sockets.add(socket)
    socket.on('error', () => {}).on('close', () => {
      this.#sockets.delete(socket)
      this.turnedAway++
      setTimeout(() => this.push(), 5)
    }).resume()
  }

  leave (): void {
    this.#hasLeft = true
    for (const socket of this.#sockets) socket.destroy()
  }
}

test('fault 93: clients who open as many connections as the process may have files do not keep it from its broker', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const proxy = await startProxy(t, broker.url)
  const child = startProgram(t, 'test/support/instance.ts', [proxy.through(broker.url), queue, '10'], {}, [], 160)
  const log: string[] = []
  child.stderr!.on('data', (text: string) => log.push(text))
  const [text] = await once(child.stdout!, 'data')
  const port = Number(text)
  await eventually(() => log.join('').includes('"possible":60'), 'its limit of open files is known')
  const client = await connectClient(t, `ws://127.0.0.1:${port}/notification?userId=123`)
  const crowd = new Crowd(port)
  t.teardown(() => crowd.leave())
  for (let n = 0; n < 200; n++) crowd.push()
  await eventually(() => crowd.turnedAway > 300, 'all places are taken')

  const before = proxy.accepted
  proxy.reset()
  await eventually(() => proxy.accepted >= before + 2, 'it has connected to the broker again')
  await broker.publish(queue, { userId: '123', content: 'still here' })
  t.same(await client.received(1), ['still here'])
})
