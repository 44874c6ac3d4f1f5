// disconnect() and those who are on their way in.
import { once } from 'node:events'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { startApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { connectClient, type TestClient } from './support/client.js'
import { eventually } from './support/eventually.js'
import { numbers, startInstances } from './support/instances.js'
import { startProxy } from './support/proxy.js'

const USERS = 600
const isBanned = (n: number) => n % 10 === 0

test('fault 97: whoever is disconnected while authenticate runs does not stay, and reads nothing', async t => {
  let isWanted = () => {}
  const gate = new Promise<void>(resolve => { isWanted = resolve })
  let running = 0
  const { app, notifications } = await startApp(t, {
    authenticate: async request => {
      running++
      await gate
      return (request.query as { userId: string }).userId
    }
  })
  const [one, other] = [connectClient(t, notifications('123')), connectClient(t, notifications('456'))]
  await eventually(() => running === 2, 'authenticate runs')
  t.equal(app.notifier.disconnect('123', 4503, 'banned'), 0)
  await new Promise(resolve => setImmediate(resolve))
  app.notifier.disconnect('789') // a later one
  isWanted()
  const client = await one
  t.same(await client.closed, { code: 4503, reason: 'banned' })
  t.same(client.messages, [])
  await other
  await eventually(() => app.notifier.connections('456') === 1, 'another user stays')
  await connectClient(t, notifications('123'))
  await eventually(() => app.notifier.connections('123') === 1, 'who comes later stays: that is for authenticate to decide')
})

test('fault 97: who waits until the other instances know of them does not stay when they are disconnected', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  t.teardown(() => broker.channel.deleteExchange(`${queue}.relay`))
  const proxy = await startProxy(t, broker.url)
  const { app, notifications } = await startApp(t, { amqpUrl: proxy.through(broker.url), queue, cluster: true })
  proxy.mute('publisher') // no announcement is confirmed
  const [one, other] = await Promise.all(['123', '456'].map(userId => connectClient(t, notifications(userId), {}, 'notification.v1'))) as [TestClient, TestClient]
  t.equal(app.notifier.disconnect('123', 4503, 'banned'), 1)
  t.same(await one.closed, { code: 4503, reason: 'banned' })
  t.same(one.messages, [], 'it was not welcomed')
  proxy.forward()
  await other.received(1)
  t.match(other.messages, [/welcome/])
  t.same(app.notifier.users, ['456'])
})

/** The phones, laptops and tablets of 100 users: the phones of 10 are signed out. */
const devices = numbers(300).map((_, n) => {
  const [userId, session] = [String(n % 100), ['phone', 'laptop', 'tablet'][Math.floor(n / 100)]]
  return { userId, session, isClosed: isBanned(n) && session === 'phone' }
})

const crowds = [
  { what: `${USERS} who connect`, those: 'those', clients: numbers(USERS).map((userId, n) => ({ userId, session: undefined, isClosed: isBanned(n) })) },
  { what: '100 users who connect with three devices each', those: 'those devices', clients: devices }
]

for (const moment of ['authenticate runs', 'they are announced']) {
  for (const { what, those, clients } of crowds) {
    test(`fault 97: of ${what} at once to three instances, ${those} stay that are not disconnected while ${moment}`, { timeout: 240_000 }, async t => {
      let running = 0
      let open = () => {}
      const gate = new Promise<void>(resolve => { open = resolve })
      const { apps } = await startInstances(t, 3, {
        limits: { upgradeTimeout: 120_000 }, // on a busy machine all of them take long
        authenticate: async request => {
          running++
          if (moment === 'authenticate runs') await gate
          const { userId, session } = request.query as { userId: string, session?: string }
          return { userId, sessionId: session }
        }
      })
      const one = apps[0]!.app.notifier
      const closes = new Map<number, number>()
      const sockets = clients.map(({ userId, session }, n) => {
        const url = apps[n % 3]!.notifications(userId)
        const socket = new WebSocket(session === undefined ? url : `${url}&session=${session}`, 'notification.v1')
        socket.on('close', code => closes.set(n, code)).on('error', () => {})
        t.teardown(() => socket.terminate())
        return socket
      })
      if (moment === 'authenticate runs') await eventually(() => running === clients.length, 'authenticate runs for all')
      else await Promise.all(sockets.map(socket => once(socket, 'open')))
      const closed = clients.flatMap(({ isClosed }, n) => isClosed ? n : [])
      for (const n of closed) one.disconnect(clients[n]!.userId, clients[n]!.session === undefined ? {} : { sessionId: clients[n]!.session! })
      open()
      const total = () => apps.reduce((sum, { app }) => sum + app.notifier.size, 0)
      await eventually(() => total() === clients.length - closed.length && closes.size === closed.length, 'none of those stays, and all others do')
      t.same([...closes.keys()].toSorted((a, b) => a - b), closed)
      t.same([...new Set(closes.values())], [4502])
    })
  }
}
