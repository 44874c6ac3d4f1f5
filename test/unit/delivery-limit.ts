import { test } from 'tap'
import { treatmentOf } from '../../src/rabbitmq/delivery-limit.js'

/** What becomes of a message that has been returned 0, 1, 2, … times, up to the limit. */
const treatments = (limit: number) => Array.from({ length: limit + 1 }, (_, count) => treatmentOf(count, limit)[0]).join('')

test('the first half of the last quarter of a delivery limit is for the user, the second for the dead-letter queue', async t => {
  // r: routed, a: attempted, m: moved
  t.equal(treatments(20), 'rrrrrrrrrrrrrrr' + 'aaa' + 'mmm')
  t.equal(treatments(8), 'rrrrrr' + 'aa' + 'm')
  t.equal(treatments(5), 'rrr' + 'aa' + 'm')
})

test('small delivery limits leave room for one delivery, and for one move where there is room for it', async t => {
  t.equal(treatments(3), 'rr' + 'am')
  t.equal(treatments(2), 'r' + 'am')
  t.equal(treatments(1), 'rm')
  t.equal(treatmentOf(0, 0), 'route')
})

test('without a delivery limit, and with the highest one, messages are routed however often they were returned', async t => {
  for (const count of [0, 1, 20, 1_000_000]) {
    t.equal(treatmentOf(count, Infinity), 'route')
    t.equal(treatmentOf(count, 2_147_483_647), 'route')
  }
})
