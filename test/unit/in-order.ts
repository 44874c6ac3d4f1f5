import { test } from 'tap'
import { InOrder } from '../../src/rabbitmq/in-order.js'

const turns = async (count: number) => { for (let n = 0; n < count; n++) await new Promise(resolve => setImmediate(resolve)) }

test('a step whose value is there runs at once if nothing waits', t => {
  t.equal(new InOrder().run(1, value => value + 1), 2)
  t.end()
})

test('steps run in the order in which they were added, whichever value comes first, and none waits for the result of another', async t => {
  const order = new InOrder()
  const ran: number[] = []
  const values = Array.from({ length: 4 }, () => withResolvers<number>())
  const results = values.map(({ promise }, n) => order.run(promise, value => {
    ran.push(value)
    return n === 0 ? new Promise(() => {}) : value
  }))
  const last = order.run(4, value => ran.push(value))
  for (const n of [3, 1, 2]) values[n]!.resolve(n)
  await turns(2)
  t.same(ran, [], 'the first is not there')
  values[0]!.resolve(0)
  t.same(await Promise.all([results[1], results[2], results[3], last]), [1, 2, 3, 5])
  t.same(ran, [0, 1, 2, 3, 4])
  await turns(1)
  t.equal(order.run(7, value => value), 7, 'at once again')
})

test('a step that throws fails alone', async t => {
  const order = new InOrder()
  const failing = order.run(Promise.resolve(1), () => { throw new Error('no') })
  const next = order.run(2, value => value)
  await t.rejects(failing as Promise<unknown>, { message: 'no' })
  t.equal(await next, 2)
})

function withResolvers<T> (): { promise: Promise<T>, resolve (value: T): void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
