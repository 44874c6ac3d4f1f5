import { test } from 'tap'
import { eventually } from '../support/eventually.js'
import { call, MemoryStore, settleDown, startInstance } from '../support/core.js'

function startFailing () {
  const store = new MemoryStore()
  store.delay = async () => { throw new Error('the store is full') }
  return { store, ...startInstance({ offline: 'hold' }, { store }) }
}

test('fault 98: who is online gets what comes while the hold fails, from a queue and from notify()', async t => {
  const { store, connect, deliver, dispatcher } = startFailing()
  const tab = connect('123')
  await settleDown()
  const results = [deliver('a'), deliver('b', '123', call)]
  await settleDown()
  t.same(tab.sent.map(({ id }) => id), ['a', 'b'])
  dispatcher.acknowledged(tab, ['a', 'b'])
  t.match(await Promise.all(results), [{ outcome: 'acknowledged' }, { outcome: 'acknowledged' }])
  store.delay = undefined
  await dispatcher.close()
})

test('fault 98: what waits for a failing hold goes to the user who connects meanwhile, in order, and not twice', async t => {
  const { store, connect, deliver, dispatcher } = startFailing()
  const results = [deliver('a'), deliver('b')]
  await settleDown()
  const tab = connect('123')
  await eventually(() => tab.sent.length === 2, 'both are handed over')
  results.push(deliver('c'))
  await settleDown()
  t.same(tab.sent.map(({ id }) => id), ['a', 'b', 'c'])
  dispatcher.acknowledged(tab, ['a', 'b', 'c'])
  for (const result of results) t.match(await result, { outcome: 'acknowledged' })
  store.delay = undefined
  await eventually(async () => {
    await settleDown()
    return store.ids('123').length === 0
  }, 'nothing is held')
  t.equal(tab.sent.length, 3)
  await dispatcher.close()
})
