import { test } from 'tap'
import { startApp } from '../support/app.js'
import { memoryInUse } from '../support/collect-garbage.js'
import { eventually } from '../support/eventually.js'
import { connectTo } from '../support/instances.js'
import { startMeasured } from '../support/measured.js'
import { startBroker } from '../support/private-broker.js'

const COUNT = 100_000
const KEPT = 1_000

test('fault 82: 100,000 broadcasts and a disconnect() while the broker takes no publishes: bounded; what is young arrives in order, what is old never', { timeout: 600_000 }, async t => {
  const node = await startBroker(t)
  const options = { amqpUrl: node.url, queue: 'hello', cluster: true }
  const one = await startMeasured(t, options)
  const two = await startApp(t, options)
  const client = await connectTo(t, two, 'a')
  const banned = await connectTo(t, two, 'b')
  const { broadcast, disconnect, stats, health } = one.app.notifier
  await node.ctl('set_vm_memory_high_watermark', '0.00001')

  disconnect('b', 4502, 'banned')
  const before = memoryInUse()
  const padding = 'x'.repeat(2_000)
  for (let n = 0; n < COUNT; n++) await broadcast(`old ${n} ${padding}`)
  await eventually(() => health().state === 'blocked', 'blocked')
  const grown = memoryInUse() - before
  t.ok(grown < 50_000_000, `${grown} bytes, of 200,000,000 that were broadcast`)
  t.same(stats().unsent, { overflow: COUNT - KEPT, expired: 0, 'too-large': 0 })
  await one.reaches('unsent_total{reason="overflow"}', COUNT - KEPT)
  t.match(await one.log.line('other instances not told: the broker takes no publishes'), { level: 40, type: 'broadcast', reason: 'overflow' })

  await eventually(() => stats().unsent.expired === KEPT, 'all of them are too old', 180_000)
  const young = Array.from({ length: 500 }, (_, n) => `young ${n}`)
  for (const content of young) await broadcast(content)
  await node.ctl('set_vm_memory_high_watermark', '0.4')

  t.same(await client.received(500), young)
  t.match(await banned.closed, { code: 4502, reason: 'banned' })
  t.match(await one.log.line('other instances are told again'), { level: 30, unsent: COUNT })
  t.equal(one.log.lines.filter(({ msg }) => msg.startsWith('other instances')).length, 2, 'two lines for all of it')

  await broadcast('afterwards')
  t.equal((await client.received(501)).at(-1), 'afterwards')
  t.same(stats().unsent, { overflow: COUNT - KEPT, expired: KEPT, 'too-large': 0 })
})
