// The answers that wait for the broker.
import { test } from 'tap'
import { Batches } from '../../src/cluster/batches.js'
import type { Receipt } from '../../src/cluster/frames.js'
import type { Published } from '../../src/cluster/wire.js'

function openBatches () {
  const published: Array<{ instance: string, items: Receipt[], done (published: Published): void }> = []
  const batches = new Batches<Receipt>(() => {}, (instance, json, done) => { published.push({ instance, items: JSON.parse(json), done }) })
  return { batches, published }
}

test('one batch goes to each instance', t => {
  const { batches, published } = openBatches()
  batches.add('one', [1, 'taken', 1])
  batches.add('other', [1, 'nobody', 0])
  batches.add('one', [2, 'sent', 1])
  batches.flush()
  batches.flush()
  t.match(published, [{ instance: 'one', items: [[1, 'taken', 1], [2, 'sent', 1]] }, { instance: 'other', items: [[1, 'nobody', 0]] }])
  t.equal(published.length, 2)
  t.end()
})

test('an answer that is given again and again while the broker takes nothing waits once, behind what was told before', t => {
  const { batches, published } = openBatches()
  for (let round = 0; round < 1_000; round++) {
    batches.add('one', [1, 'taken', round])
    batches.add('one', [2, 'taken', 1])
  }
  batches.add('one', [1, 'nobody', 0])
  batches.add('one', [2, 'taken', 2])
  batches.flush()
  t.same(published[0]!.items, [[1, 'taken', 999], [1, 'nobody', 0], [2, 'taken', 2]])
  t.end()
})

test('what the broker may not have got is sent again, in order, before anything newer', t => {
  const { batches, published } = openBatches()
  batches.add('one', [1, 'nobody', 0])
  batches.flush()
  batches.add('one', [1, 'taken', 1])
  batches.flush()
  batches.add('one', [1, 'acknowledged', 1])
  for (const { done } of published.splice(0)) done('unknown')
  t.ok(batches.some(([, state]) => state === 'nobody'))
  t.ok(batches.some(([, state]) => state === 'acknowledged'))
  batches.flush()
  t.same(published.map(({ items }) => items), [[[1, 'nobody', 0], [1, 'taken', 1], [1, 'acknowledged', 1]]])
  for (const { done } of published.splice(0)) done('routed')
  batches.flush()
  t.same(published, [], 'once')
  t.end()
})

test('many answers go in several frames, as the broker refuses a large one', t => {
  const { batches, published } = openBatches()
  for (let relay = 1; relay <= 25_000; relay++) batches.add('one', [relay, 'taken', 1])
  batches.flush()
  t.same(published.map(({ items }) => items.length), [10_000, 10_000, 5_000])
  t.end()
})
