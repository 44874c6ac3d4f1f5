import { test } from 'tap'
import { Registry } from '../../src/delivery/registry.js'
import { MemorySubscriber } from '../support/core.js'

const connection = (userId: string) => new MemorySubscriber(userId, true)

test('the registry has the connections of each user in the order in which they came, and counts all', async t => {
  const registry = new Registry()
  const [one, two, other] = [connection('123'), connection('123'), connection('456')]
  for (const each of [one, two, other]) registry.add(each)
  t.same(registry.of('123').map(({ id }) => id), [one.id, two.id])
  t.same([registry.size, registry.users.size], [3, 2])
})

test('a connection leaves the registry once, and its user with the last one', async t => {
  const registry = new Registry()
  const [one, two] = [connection('123'), connection('123')]
  registry.add(one)
  registry.add(two)
  const before = registry.of('123')
  registry.delete(one)
  registry.delete(one)
  registry.delete(connection('123'))
  registry.delete(connection('nobody'))
  t.same([registry.size, registry.of('123').length], [1, 1])
  t.equal(before.length, 2, 'whoever goes through them at that moment is not disturbed')
  registry.delete(two)
  t.same([registry.size, registry.users.size, registry.of('123').length], [0, 0, 0])
})
