// A Map that takes no table while it has one entry, compared with a Map.
import { test } from 'tap'
import { SmallMap } from '../../src/delivery/small-map.js'
import { collectGarbage } from '../support/collect-garbage.js'
import { createRandom } from '../support/random.js'

test('whatever is set and deleted, it has what a Map has, in the same order', t => {
  const random = createRandom(t)
  const wrong: unknown[] = []
  for (let run = 0; run < 200; run++) {
    const small = new SmallMap<number, string>()
    const map = new Map<number, string>()
    for (let step = 0; step < 30; step++) {
      const key = random.between(1, 3)
      if (random.between(0, 1) === 0) {
        small.set(key, `${step}`)
        map.set(key, `${step}`)
      } else {
        small.delete(key)
        map.delete(key)
      }
      const found = [small.size, [...small.values()], [1, 2, 3].map(key => [small.get(key), small.has(key)])]
      const expected = [map.size, [...map.values()], [1, 2, 3].map(key => [map.get(key), map.has(key)])]
      if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push({ found, expected })
    }
  }
  t.same(wrong, [])
  t.end()
})

test('what is deleted while the values are looked at is skipped', t => {
  const small = new SmallMap<number, string>()
  for (const key of [1, 2, 3]) small.set(key, `${key}`)
  const seen: string[] = []
  for (const value of small.values()) {
    seen.push(value)
    small.delete(2)
  }
  t.same(seen, ['1', '3'])
  t.end()
})

test('what is deleted is not kept while others are there', async t => {
  const small = new SmallMap<number, object>()
  const first = new WeakRef({})
  small.set(1, first.deref()!)
  small.set(2, {})
  small.delete(1)
  await new Promise(resolve => setTimeout(resolve)) // a WeakRef keeps its object until the turn has ended
  collectGarbage()
  t.equal(first.deref(), undefined)
  t.equal(small.size, 1)
})
