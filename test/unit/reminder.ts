import { test } from 'tap'
import { Reminder } from '../../src/reminder.js'

test('trouble that lasts is logged at once, after a minute, and then after twice as long each time, an hour at most', async t => {
  let now = 0
  const reminder = new Reminder(() => now)
  const logged: number[] = []
  for (; now < 4 * 3_600_000; now += 1_000) if (reminder.isDue()) logged.push(now / 60_000)
  t.same(logged, [0, 1, 3, 7, 15, 31, 63, 123, 183])
  reminder.reset()
  t.equal(reminder.isDue(), true)
  t.equal(reminder.isDue(), false)
})
