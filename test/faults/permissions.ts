import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { createApp, startApp, type TestApp } from '../support/app.js'
import { connectTo } from '../support/broker.js'
import { connectClient } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startBroker } from '../support/private-broker.js'

/** What a user may configure, write and read. */
type Permissions = readonly [configure: string, write: string, read: string]

const ALL: Permissions = ['.*', '.*', '.*']
const NO_CONFIGURE: Permissions = ['^$', '.*', '.*']
const NO_WRITE: Permissions = ['.*', '^$', '.*']
const NO_READ: Permissions = ['.*', '.*', '^$']

/** A broker, and the options of an application whose user has these permissions. */
async function startLimited (t: Test, permissions: Permissions) {
  const node = await startBroker(t)
  const allow = async (permissions: Permissions) => { await node.ctl('set_permissions', 'limited', ...permissions) }
  await node.ctl('add_user', 'limited', 'limited')
  await allow(permissions)
  const options: NotificationPluginOptions = { amqpUrl: node.url.replace('guest:guest', 'limited:limited'), queue: 'hello' }
  return { node, allow, options, broker: await connectTo(t, node.url) }
}

const count = ({ log }: Pick<TestApp, 'log'>, msg: string) => log.lines.filter(line => line.msg === msg).length
const isRefused = ({ app }: Pick<TestApp, 'app'>) => /ACCESS_REFUSED/.test(app.notifier.health().lastError?.message ?? '')

/** When the broker refused something, of so many refusals, in milliseconds. */
async function refusals ({ app }: TestApp, wanted: number): Promise<number[]> {
  const times = new Set<number>()
  await eventually(() => {
    const { code, at } = app.notifier.health().lastError ?? {}
    if (code === 403) times.add(at!.getTime()) // that of the connection, not what follows from it
    return times.size >= wanted
  }, `${wanted} refusals`)
  return [...times]
}

test('fault 67: a write that is refused at each publish: waits that grow, one line, health tells, and nothing is lost', { timeout: 400_000 }, async t => {
  const { broker, allow, options } = await startLimited(t, NO_WRITE)
  // Whoever may not write to the default exchange may not create a queue that dead-letters through it either.
  for (const queue of ['hello', 'hello.dead']) await broker.channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const started = await startApp(t, { ...options, reconnect: { initialDelay: 50, maxDelay: 10_000 } })
  const { app, log, notifications } = started
  const client = await connectClient(t, notifications('123'))
  await broker.publish('hello', ...Array(20).fill('nonsense'), { userId: '123', content: 'good' })
  t.same(await client.received(1), ['good'], 'the others are delivered')

  const times = await refusals(started, 6)
  // The first two waits may be over before the first look. What a wait is at least, no busy machine makes shorter.
  for (const [n, least] of [[3, 150], [4, 300], [5, 600]] as const) {
    t.ok(times[n]! - times[n - 1]! >= least, `${times[n]! - times[n - 1]!} ms between refusals ${n} and ${n + 1}`)
  }
  t.match(app.notifier.health(), { state: 'blocked', ready: true, unsettled: 20, lastError: { code: 403, message: /access to exchange 'amq.default'.* refused/ } })
  t.equal(count(started, 'broker publisher connecting'), 2, 'one at the start, and one for the reason')
  t.equal(count(started, 'broker publisher cannot connect'), 0)
  t.equal(count(started, 'broker publisher open'), 1)
  t.equal(count(started, 'dead letters cannot be published'), 1)
  t.match(await log.line('dead letters cannot be published'), { err: { message: /ACCESS_REFUSED/ } })
  t.match(await app.notifier.notify('123', 'hi'), { outcome: 'sent' })

  await allow(ALL)
  await eventually(() => app.notifier.health().unsettled === 0, 'settled without a restart')
  t.equal(app.notifier.health().state, 'consuming')
  t.equal((await broker.takeAll('hello.dead')).length, 20)
  t.equal(count(started, 'dead letters can be published again'), 1)
})

test('fault 67: a write that is refused while the application runs, and allowed again', { timeout: 400_000 }, async t => {
  const { node, broker, allow, options } = await startLimited(t, ALL)
  const started = await startApp(t, { ...options, reconnect: { initialDelay: 20, maxDelay: 500 } })
  const { app, log } = started
  await broker.publish('hello', 'nonsense')
  await log.line('message dead-lettered')

  await allow(NO_WRITE)
  await node.ctl('close_all_user_connections', 'limited', 'permissions have changed') // a channel remembers them
  await eventually(() => app.notifier.health().ready, 'back')
  await broker.publish('hello', 'nonsense', 'nonsense')
  await eventually(() => app.notifier.health().state === 'blocked' && isRefused(started), 'refused')
  await eventually(() => app.notifier.health().unsettled === 2, 'both wait')

  await allow(ALL)
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.equal(app.notifier.health().state, 'consuming')
  t.equal((await broker.takeAll('hello.dead')).length, 3)
})

test('fault 67: a write to the exchange between instances that is refused: messages wait, and are settled once it is allowed', { timeout: 400_000 }, async t => {
  const { broker, allow, options } = await startLimited(t, ['.*', '^(amq\\.|hello$|hello\\.dead$)', '.*'])
  const started = await startApp(t, { ...options, cluster: true, offline: 'dead-letter', reconnect: { initialDelay: 20, maxDelay: 500 } })
  const { app } = started
  await broker.publish('hello', { userId: 'nobody', content: 'hi' })
  await eventually(() => app.notifier.health().state === 'blocked' && app.notifier.health().unsettled === 1, 'refused, and the message waits')
  t.match(app.notifier.health(), { lastError: { message: /hello\.relay/ } })

  await allow(ALL)
  await eventually(() => app.notifier.health().unsettled === 0, 'settled')
  t.equal((await broker.takeAll('hello.dead')).length, 1)
})

for (const [what, permissions, needsQueues] of [
  ['to declare the queues', NO_CONFIGURE, false],
  ['to read the queue', NO_READ, true]
] as const) {
  test(`fault 67: a permission that is refused at set-up, ${what}: one line for the reason, and consumed once it is allowed`, { timeout: 400_000 }, async t => {
    const { broker, allow, options } = await startLimited(t, permissions)
    if (needsQueues) for (const queue of ['hello', 'hello.dead']) await broker.channel.assertQueue(queue)
    const { app: failing } = createApp(t)
    await failing.register(notificationPlugin, options)
    await t.rejects(async () => { await failing.ready() }, { code: 'FST_NOTIFICATION_BROKER_REFUSED', message: /ACCESS_REFUSED/ })

    const started = await startApp(t, { ...options, startup: 'background', reconnect: { initialDelay: 20, maxDelay: 10_000 } })
    const { app, log, notifications } = started
    const client = await connectClient(t, notifications('123'))
    await refusals(started, 5)
    t.equal(app.notifier.health().state, 'connecting')
    t.equal(count(started, 'broker consumer cannot connect'), 1)
    t.match(await log.line('broker consumer cannot connect'), { level: 40, err: { code: 403 } })

    await allow(ALL)
    await eventually(() => app.notifier.health().state === 'consuming', 'consuming')
    await broker.publish('hello', { userId: '123', content: 'hi' })
    t.same(await client.received(1), ['hi'])
  })
}
