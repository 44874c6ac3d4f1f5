// What the dashboard asks, answered by a real Prometheus that reads real instances.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import Fastify from 'fastify'
import { Registry } from 'prom-client'
import { test, type Test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import { freePorts } from '../../support/network.mjs'
import { findPrometheus } from '../../support/prometheus/install.js'
import { startApp } from '../support/app.js'
import { connectTo } from '../support/broker.js'
import { connectClient, refusal } from '../support/client.js'
import { eventually } from '../support/eventually.js'
import { startListening } from '../support/listening-program.js'
import { startBroker } from '../support/private-broker.js'
import { usePrivateRedis } from '../support/redis.js'
import { connectRich } from '../support/rich-client.js'

const read = async (path: string) => await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const dashboard = await read('example/grafana-dashboard.json')
const [, scrapeConfig] = /```yaml\n(scrape_configs:\n[^]*?)```/.exec(await read('docs/operation.md'))!

/** What the panels ask for, with the variables as Grafana fills them in for "All". */
const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, text]) => JSON.parse(text!) as string)
  .map(text => text.replaceAll('$job', '.+').replaceAll('$instance', '.+').replaceAll('$__rate_interval', '30s'))

/** An instance, and the address of its metrics. */
async function startScraped (t: Test, options: NotificationPluginOptions) {
  const metrics = new Registry()
  const started = await startApp(t, { ...options, metrics })
  const internal = Fastify()
  internal.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()))
  t.teardown(() => internal.close())
  return { ...started, internal, target: new URL(await internal.listen({ port: 0, host: '127.0.0.1' })).host }
}

/** Starts a Prometheus with the configuration of the documents, which reads these targets five times a second. */
async function startPrometheus (t: Test, targets: string[], rabbitmq: string) {
  const config = scrapeConfig!.replace("'app-1:9090', 'app-2:9090'", targets.map(target => `'${target}'`).join()).replace('rabbitmq:15692', rabbitmq)
  const folder = t.testdir({ 'prometheus.yml': `global: { scrape_interval: 200ms, scrape_timeout: 200ms }\n${config}` })
  const [port] = await freePorts(1)
  await startListening(t, await findPrometheus(), [
    `--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn'
  ], port!)
  /** @returns the values of an expression now; undefined where Prometheus does not answer with success */
  return async (query: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query }) })
    const { status, data } = await response.json() as { status: string, data: { result: Array<{ value: [number, string] }> } }
    return status === 'success' ? data.result.map(({ value: [, value] }) => Number(value)).filter(value => !Number.isNaN(value)) : undefined
  }
}

test('a real Prometheus that reads real instances answers each panel of the dashboard, with data', { timeout: 600_000 }, async t => {
  const [exporter] = await freePorts(1)
  const node = await startBroker(t, { plugins: ['rabbitmq_prometheus'], config: { 'prometheus.tcp.port': String(exporter), 'prometheus.tcp.ip': '127.0.0.1' } })
  const [broker, redis] = [await connectTo(t, node.url), await usePrivateRedis(t)]
  const shared = { amqpUrl: node.url, queue: 'shared', cluster: true, settle: 'acknowledged', offline: 'hold', hold: { redis: redis.url, maxCount: 2 } } as const
  const [one, two] = [await startScraped(t, shared), await startScraped(t, shared)]
  await broker.channel.assertQueue('limited', { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 100 } })
  const third = await startScraped(t, { amqpUrl: node.url, queue: 'limited', offline: 'hold' })
  const ask = await startPrometheus(t, [one, two, third].map(({ target }) => target), `127.0.0.1:${exporter}`)

  /** Some of everything, as it happens on a bad day. */
  async function live (): Promise<void> {
    const [silent, plain, there] = [await connectRich(t, one.notifications('silent')), await connectClient(t, third.notifications('123')), await connectRich(t, two.notifications('there'))]
    await one.app.notifier.join('silent', 'team')
    await broker.publishWith({ persistent: true, timestamp: Math.floor(Date.now() / 1_000) }, 'shared', ...['silent', 'there', 'away', 'away', 'away', 'back'].map(userId => ({ userId, content: 'hi' })), { group: 'team', content: 'hi' }, 'no JSON')
    await broker.publishWith({ persistent: true, timestamp: Math.floor(Date.now() / 1_000) }, 'limited', ...['123', 'away'].map(userId => ({ userId, content: 'hi' })), { userIds: ['123', 'away'], content: 'hi' }, { everybody: true, content: 'hi' }, 'no JSON')
    await there.framesReceived(1)
    there.ack(...there.frames.map(({ id }) => id!))
    await connectRich(t, two.notifications('back')).then(async back => {
      await back.framesReceived(1)
      back.ack(...back.frames.map(({ id }) => id!))
      await back.close()
    })
    await refusal(one.at('/notification'))
    broker.channel.publish('shared.relay', '', Buffer.from('no frame'))
    await Promise.all([silent, plain, there].map(client => client.close()))
  }

  const gone = expressions.filter(expression => expression.includes('up{') && expression.includes('== 0'))
  t.equal(gone.length, 1)
  // In a container the port of the exporter can't be reached.
  const hasExporter = node.source !== 'docker'
  const empty = new Set(expressions.filter(expression => !gone.includes(expression) && (hasExporter || !expression.includes('rabbitmq_'))))
  t.ok(empty.size > 40, `${empty.size}`)
  await eventually(async () => {
    await live()
    for (const expression of empty) {
      const values = await ask(expression)
      if (values === undefined) t.fail(`not answered: ${expression}`)
      if (values?.length !== 0) empty.delete(expression)
    }
    return empty.size === 0
  }, 'every panel has data').catch(() => {})
  t.same([...empty], [], 'panels without data')

  // Where this process is busy, Prometheus may take an instance for gone, until it reads it again.
  for (const expression of gone) await eventually(async () => (await ask(expression))?.length === 0, 'no instance is gone yet')
  await third.internal.close()
  await eventually(async () => (await ask(gone[0]!))?.length === 1, 'the instance that is gone is shown')
})
