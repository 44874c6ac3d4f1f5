// What waits, in order, however much of it there is.
import { test } from 'tap'
import { ByPosition } from '../../src/delivery/by-position.js'
import { WaitingList } from '../../src/hold/waiting-list.js'
import { createRandom } from '../support/random.js'

const COUNT = 200_000

/** Far more than it takes, and far less than if each step took as long as there are others. */
const LIMIT = 20_000

function inTime (work: () => void): string | undefined {
  const begun = performance.now()
  work()
  const took = performance.now() - begun
  return took < LIMIT ? undefined : `${took} ms`
}

test('200,000 that come back, older than what waits, are put into their places in one go', t => {
  const waiting = new ByPosition<number, { position: number }>(({ position }) => position)
  const wrong: unknown[] = []
  t.equal(inTime(() => {
    for (let position = COUNT; position < 2 * COUNT; position++) waiting.add({ position })
    for (let position = COUNT - 1; position >= 0; position--) waiting.add({ position })
    for (let position = 0; position < 2 * COUNT; position++) {
      if (waiting.first?.position !== position) wrong.push(position)
      waiting.delete(position)
    }
  }), undefined)
  t.same(wrong, [])
  t.equal(waiting.first, undefined)
  t.end()
})

test('whatever is added, deleted and looked at, the order is that of a plain list', t => {
  const random = createRandom(t)
  const all = Array.from({ length: 30 }, (_, n) => ({ key: `k${n % 20}`, position: n }))
  const ordered = new ByPosition<string, typeof all[number]>(({ key }) => key)
  let list: typeof all = []
  const wrong: number[] = []
  for (let step = 0; step < 5_000; step++) {
    const item = all[random.between(0, all.length - 1)]!
    if (random.between(0, 2) === 0) {
      ordered.delete(item.key)
      list = list.filter(({ key }) => key !== item.key)
    } else {
      ordered.add(item)
      list = [...list.filter(({ key }) => key !== item.key), item].sort((a, b) => a.position - b.position)
    }
    if (random.between(0, 3) > 0) continue
    if (ordered.first !== list[0] || ordered.size !== list.length || [...ordered.values()].some((each, n) => each !== list[n])) wrong.push(step)
  }
  t.same(wrong, [], 'no step')
  t.end()
})

test('a full list of 200,000 takes the newest, and drops the oldest, at the same price each time', t => {
  const list = new WaitingList()
  const entry = (n: number) => ({ id: `n${n}`, content: '', position: n, expiresAt: Infinity, size: 1, memory: 1, until: Infinity, turn: n })
  const wrong: unknown[] = []
  t.equal(inTime(() => {
    for (let n = 0; n < COUNT; n++) list.add(entry(n))
    for (let n = 0; n < 2 * COUNT; n++) {
      list.add(entry(COUNT + n))
      if (list.shift()?.position !== n) wrong.push(n)
    }
  }), undefined)
  t.same(wrong, [])
  t.equal(list.count, COUNT)
  t.same(list.slice(undefined, 2).map(({ position }) => position), [2 * COUNT, 2 * COUNT + 1])
  t.equal(list.bytes, COUNT)
  t.end()
})
