import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t as file, test, type Test } from 'tap'
import { WebSocket } from 'ws'
import { findBroker } from '../example/broker.js'
import { canInstallDebianPackages, installDebianPackage } from '../support/apt.js'
import { RabbitMQUnavailableError } from '../support/private-rabbitmq.js'
import { useBroker } from './support/broker.js'
import { connectClient, refusal } from './support/client.js'
import { eventually } from './support/eventually.js'
import { startProgram } from './support/process.js'
import { usePrivateRedis } from './support/redis.js'

const nowhere = 'amqp://localhost:1'
const run = promisify(execFile)

/** Those that several tests look at, and none ends. */
let connected: Example
let alone: Example
file.before(async () => {
  const broker = await useBroker(file)
  connected = await startExample(file, { AMQP_URL: broker.url, QUEUE: broker.queueName() })
  alone = await startExample(file, { AMQP_URL: 'none' })
})

test('the example prints the URL to open, what it is connected to, and a curl line that works', async t => {
  await installCurl()
  const broker = await useBroker(t)
  const example = connected
  const url = await example.url

  const page = await fetch(url)
  t.equal(page.status, 200)
  t.match(await page.text(), '<title>fastify-notification</title>')
  const [, queue] = /^amqp:\/\/guest:\*\*\*@127\.0\.0\.1:\d+\/?, from AMQP_URL; queue '(.+)'$/.exec(example.line('Broker')!)!

  const client = await connectClient(t, `${url.replace('http', 'ws')}/notification?userId=123`)
  const { stdout } = await run('sh', ['-c', `${example.line('Try')} --silent`])
  t.match(JSON.parse(stdout), { outcome: 'sent', connections: 1 })
  t.same(await client.received(1), ['hello world'])

  await broker.publish(queue!, { userId: '123', content: 'from the queue' })
  t.same(await client.received(2), ['hello world', 'from the queue'])
})

test('the example tells a load balancer how it is', async t => {
  const url = await connected.url
  for (const path of ['/ready', '/live']) {
    const response = await fetch(url + path)
    t.equal(response.status, 200)
    t.match(await response.json(), { state: 'consuming', ready: true })
  }
})

test('the example tells Prometheus how it is', async t => {
  const url = await connected.url
  const response = await fetch(`${url}/metrics`)
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  t.match(text, /fastify_notification_consuming\{queue="test-[^"]+"\} 1\n/)
  t.match(text, 'nodejs_eventloop_lag_seconds ')
})

test('the example runs without a RabbitMQ and says so', async t => {
  const example = alone
  const url = await example.url
  t.equal(example.line('Broker'), 'none; only notify() works')
  t.match(example.line('Held'), 'in memory')

  const client = await connectClient(t, `${url.replace('http', 'ws')}/notification?userId=123`)
  const notified = await post(`${url}/notify/123`, { order: 7 })
  t.match(notified, { status: 200, body: { outcome: 'sent', connections: 1 } })
  t.same(await client.received(1), ['{"order":7}'])

  const published = await post(`${url}/publish`, { userId: '123', content: 'hello world' })
  t.match(published, { status: 503, body: { message: 'could not publish: the example runs without a RabbitMQ' } })
})

test('what the example holds is in Redis where there is one, and survives even a kill', async t => {
  const env = { AMQP_URL: 'none', REDIS_URL: (await usePrivateRedis(t)).url }
  const first = await startExample(t, env)
  t.match(await post(`${await first.url}/notify/123`, { order: 7 }), { status: 200, body: { outcome: 'held' } })
  first.child.kill('SIGKILL')
  await first.ended

  const next = await startExample(t, env)
  const client = await connectClient(t, `${(await next.url).replace('http', 'ws')}/notification?userId=123`)
  t.same(await client.received(1), ['{"order":7}'])
  t.equal(next.line('Held'), 'in Redis, at REDIS_URL')
})

test('the example serves the client as a module, which Node can import too', async t => {
  const url = await alone.url
  const response = await fetch(`${url}/notification-client.js`)
  t.match(response.headers.get('content-type'), 'text/javascript')
  const { NotificationClient } = await import(`data:text/javascript,${encodeURIComponent(await response.text())}`)
  const client = new NotificationClient(`${url}/notification?userId=456`, { WebSocket })
  t.teardown(() => client.close())
  t.match(await post(`${url}/notify/456`, { order: 7 }), { body: { outcome: 'held' } })
  const [{ content }] = await once(client, 'notification')
  t.same(content, { order: 7 })
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`at ${signal} the example closes in order, ends by itself with 0, and leaves nothing`, async t => {
    const example = await startExample(t, { AMQP_URL: '', LOCAL_AMQP_URL: nowhere })
    const url = await example.url
    t.match(example.line('Broker'), 'a private RabbitMQ')
    const client = await connectClient(t, `${url.replace('http', 'ws')}/notification?userId=123`)
    t.match(await post(`${url}/publish`, { userId: '123', content: 'hello world' }), { status: 202 })
    t.same(await client.received(1), ['hello world'])

    example.child.kill(signal)
    t.same(await client.closed, { code: 1001, reason: 'server shutting down' })
    example.child.kill(signal) // impatience does no harm
    t.same(await example.ended, { code: 0, signal: null })
    t.same(await example.leftovers(), [])
  })
}

test('each of several instances of the example is reached from the pages of all, and from no other', async t => {
  const broker = await useBroker(t)
  const queue = broker.queueName()
  const example = await startExample(t, { AMQP_URL: broker.url, QUEUE: queue }, ['--instances', '3'])
  await example.url
  const urls = example.line('Instances')!.split(' ')
  t.equal(urls.length, 3)
  t.match(example.line('Held'), 'nothing, as several instances hold in Redis only')

  for (const url of urls) {
    t.same(await (await fetch(`${url}/instances`)).json(), urls)
    t.match(await refusal(`${url.replace('http', 'ws')}/notification?userId=123`, { origin: 'http://localhost:1' }), { statusCode: 403 })
  }
  const clients = await Promise.all(urls.map((url, n) => connectClient(t, `${url.replace('http', 'ws')}/notification?userId=user-${n}`, { origin: urls[(n + 1) % 3]! })))
  // Until then they are offline to the others.
  for (const url of urls) await eventually(async () => /^fastify_notification_users 1$/m.test(await (await fetch(`${url}/metrics`)).text()), 'bound')
  for (const round of ['one', 'two']) await broker.publish(queue, ...urls.map((_, n) => ({ userId: `user-${n}`, content: round })))
  for (const client of clients) t.same(await client.received(2), ['one', 'two'])

  const pid = Number(new RegExp(`"pid":(\\d+),.*:${new URL(urls[1]!).port}"`).exec(example.stdout)![1])
  process.kill(pid, 'SIGKILL')
  t.match(await clients[1]!.closed, { code: 1006 })
  while (!example.stderr.includes('has ended')) await once(example.child.stderr!, 'data')
  t.equal(example.stderr, `Instance 2 of 3, process ${pid}, has ended with SIGKILL.\n`)
  await broker.publish(queue, { userId: 'user-0', content: 'three' }, { userId: 'user-2', content: 'three' })
  for (const { messages, socket } of [clients[0]!, clients[2]!]) {
    while (!messages.includes('three')) await once(socket, 'message')
    t.same([...new Set(messages)], ['one', 'two', 'three'], 'what the killed one had not settled may come again')
  }

  example.child.kill('SIGTERM')
  t.same(await clients[0]!.closed, { code: 1001, reason: 'server shutting down' })
  t.same(await example.ended, { code: 0, signal: null })
  t.same(await example.leftovers(), [])
})

test('a page that is opened before all instances have started learns of each of them, and each lets it in', async t => {
  const broker = await useBroker(t)
  const example = await startExample(t, { AMQP_URL: broker.url, QUEUE: broker.queueName() }, ['--instances', '3'])
  await example.printed('Server listening at')
  const [, port] = /Server listening at http:\/\/[^"]*:(\d+)"/.exec(example.stdout)!
  const origin = `http://localhost:${port}`
  const urls = await (await fetch(`${origin}/instances`)).json() as string[]
  t.equal(new Set(urls).size, 3)
  for (const url of urls) await connectClient(t, `${url.replace('http', 'ws')}/notification?userId=123`, { origin })
  await example.url
  t.same(urls, example.line('Instances')!.split(' '))
})

test('an instance of the example that ends while the others start does not keep them waiting', async t => {
  const broker = await useBroker(t)
  const example = await startExample(t, { AMQP_URL: broker.url, QUEUE: broker.queueName() }, ['--instances', '2'])
  await example.printed('Server listening at')
  const [, pid, port] = /"pid":(\d+),[^\n]*Server listening at http:\/\/[^"]*:(\d+)"/.exec(example.stdout)!
  const asked = fetch(`http://localhost:${port}/instances`).then(async response => await response.json(), () => 'it has ended')
  process.kill(Number(pid), 'SIGTERM')
  await asked
  while (!example.stderr.includes('has ended')) await once(example.child.stderr!, 'data')
  const url = await example.url
  t.match(await (await fetch(`${url}/instances`)).json(), [url])
})

test('several instances of the example hold in Redis, and leave nothing when the one that started them is killed', async t => {
  const broker = await useBroker(t)
  const env = { AMQP_URL: broker.url, QUEUE: broker.queueName(), REDIS_URL: (await usePrivateRedis(t)).url }
  const example = await startExample(t, env, ['--instances', '2'])
  await example.url
  t.equal(example.line('Held'), 'in Redis, at REDIS_URL')
  const [first, second] = example.line('Instances')!.split(' ')
  t.match(await post(`${first}/notify/123`, { order: 7 }), { status: 200, body: { outcome: 'held' } })
  const client = await connectClient(t, `${second!.replace('http', 'ws')}/notification?userId=123`)
  t.same(await client.received(1), ['{"order":7}'])

  example.child.kill('SIGKILL')
  await example.ended
  await untilNothingIsLeft(t, example)
})

for (const [args, message] of [
  [['--instances', '0'], "--instances takes a whole number from 1 to 20, not '0'"],
  [['--instances', 'three'], "--instances takes a whole number from 1 to 20, not 'three'"],
  [['--instance', '3'], "Unknown option '--instance'"],
  [['--instances', '3'], 'several instances share a queue, so they need a RabbitMQ']
] as const) {
  test(`the example with ${args.join(' ')}, without a RabbitMQ, says: ${message}`, async t => {
    const example = await startExample(t, { AMQP_URL: 'none' }, [...args])
    t.same(await example.ended, { code: 1, signal: null })
    t.match(example.stderr, `The example could not start: ${message}`)
  })
}

test('the example leaves no broker behind where it is killed, or ended while it starts', async t => {
  const killed = await startExample(t, { AMQP_URL: '', LOCAL_AMQP_URL: nowhere })
  await killed.url
  t.ok((await killed.leftovers()).length > 0, 'there is something to remove')
  killed.child.kill('SIGKILL')
  await killed.ended
  await untilNothingIsLeft(t, killed)

  const starting = await startExample(t, { AMQP_URL: '', LOCAL_AMQP_URL: nowhere })
  await starting.printed('starting a private RabbitMQ')
  starting.child.kill('SIGTERM')
  await starting.ended
  await untilNothingIsLeft(t, starting)
})

test('where its port is in use the example says so in one line, and leaves nothing', async t => {
  const server = createServer().listen(0, 'localhost')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const example = await startExample(t, { AMQP_URL: '', LOCAL_AMQP_URL: nowhere, PORT: String(port) })
  t.same(await example.ended, { code: 1, signal: null })
  t.match(example.stderr, new RegExp(`^The example could not start: .*address already in use.*:${port}\n$`))
  t.same(await example.leftovers(), [])
})

test('where its AMQP_URL leads nowhere the example says so in one line, without the password', async t => {
  const example = await startExample(t, { AMQP_URL: 'amqp://user:hush@localhost:1' })
  t.same(await example.ended, { code: 1, signal: null })
  t.match(example.stderr, /^The example could not start: .*amqp:\/\/user:\*\*\*@localhost:1: connect ECONNREFUSED.*\n$/)
  t.notMatch(example.stdout + example.stderr, 'hush')
})

test('the example uses a RabbitMQ on this machine where it lets it in', async t => {
  const { url } = await useBroker(t)
  const lines: string[] = []
  const startPrivate = async () => { throw new RabbitMQUnavailableError('how to get one') }
  const find = (localUrl: string) => findBroker({ amqpUrl: '', localUrl, startPrivate, print: line => lines.push(line) })

  const found = await find(url)
  t.match(found, { amqpUrl: url, description: /^amqp:\/\/guest:\*\*\*@.*, found on this machine$/ })
  await found.remove()
  t.same(lines, [])

  const silent = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.teardown(() => silent.close())
  await once(silent, 'listening')
  for (const [localUrl, reason] of [
    [url.replace('guest@', 'hush@'), 'ACCESS_REFUSED'],
    [`amqp://127.0.0.1:${(silent.address() as AddressInfo).port}`, 'it does not answer']
  ] as const) {
    t.match(await find(localUrl), { amqpUrl: undefined })
    t.match(lines.splice(0), [reason, 'how to get one'])
  }
})

type Example = Awaited<ReturnType<typeof startExample>>

/** Runs the example as a user would, in a temporary folder of its own by which everything it starts is known. */
async function startExample (t: Test, env: NodeJS.ProcessEnv, args: string[] = []) {
  const TMPDIR = await mkdtemp(join(tmpdir(), 'example-'))
  t.teardown(() => rm(TMPDIR, { recursive: true, force: true, maxRetries: 5 }))
  const child = startProgram(t, 'example/start.ts', args, { PORT: '0', REDIS_URL: '', ...env, TMPDIR })
  const ended = once(child, 'close').then(([code, signal]): { code: unknown, signal: unknown } => ({ code, signal }))

  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', text => { stdout += text })
  child.stderr!.setEncoding('utf8').on('data', text => { stderr += text })
  /** What is printed behind a word. */
  const line = (word: string) => new RegExp(`^ *${word} +(.*)$`, 'm').exec(stdout)?.[1]

  /** Resolves when a text is printed, rejects if the example ends before. */
  async function printed (text: string): Promise<void> {
    let over = false
    ended.then(() => { over = true })
    while (!stdout.includes(text)) {
      if (over) throw new Error(`the example ended:\n${stdout}${stderr}`)
      await Promise.race([once(child.stdout!, 'data'), ended])
    }
  }
  const url = printed('curl').then(() => line('Open')!)
  url.catch(() => {})

  return {
    child,
    get stdout () { return stdout },
    get stderr () { return stderr },
    /** The URL to open, once it is printed. */
    url,
    ended,
    printed,
    line,
    /** The processes and the broker's folders that it has left. */
    async leftovers () {
      const folders = (await readdir(TMPDIR)).filter(name => name.startsWith('private-rabbitmq-'))
      const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
      const environments = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')))
      const processes = pids.filter((_, index) => environments[index]!.split('\0').includes(`TMPDIR=${TMPDIR}`))
      return [...folders, ...processes.map(pid => `process ${pid}`)]
    }
  }
}

async function untilNothingIsLeft (t: Test, example: Example): Promise<void> {
  let left: string[] = []
  await eventually(async () => {
    left = await example.leftovers()
    return left.length === 0
  }, 'nothing is left').catch(() => {}) // the test tells what is
  t.same(left, [])
}

async function post (url: string, body: object): Promise<{ status: number, body: unknown }> {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: response.status, body: await response.json() }
}

async function installCurl (): Promise<void> {
  const there = await run('curl', ['--version']).then(() => true, () => false)
  if (!there && canInstallDebianPackages()) await installDebianPackage(['curl'])
}
