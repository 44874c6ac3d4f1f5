// Whom the other instances reach here, however many come and go.
import { test } from 'tap'
import { createBindings } from '../../src/cluster/bindings.js'
import { eventually } from '../support/eventually.js'

const users = Array.from({ length: 200_000 }, (_, n) => `u${n}`)

test('200,000 users who have gone before there was an inbox are not bound, and those who came are, in their order', async t => {
  const bound: string[] = []
  const bindings = createBindings(0, userId => bound.push(userId))
  t.teardown(bindings.close)
  for (const user of users) bindings.add(user)
  for (const user of users) bindings.release(user)
  const staying = users.map(user => `staying ${user}`)
  for (const user of staying) bindings.add(user)
  bindings.resume([{ bind: async () => {}, unbind: async () => {} }])
  await eventually(() => bound.length === users.length, 'bound')
  t.equal(bindings.size, users.length)
  t.equal(bound.findIndex((user, n) => user !== staying[n]), -1)
})
