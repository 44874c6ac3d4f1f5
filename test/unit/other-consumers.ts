import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import type { FastifyBaseLogger } from 'fastify'
import { OtherConsumers } from '../../src/rabbitmq/other-consumers.js'

const MINUTE = 60_000

test('while the broker has not answered one look for other consumers, none follows', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const answers: Array<(count: number) => void> = []
  const others = new OtherConsumers('queue', { warn () {} } as unknown as FastifyBaseLogger)
  others.watch(() => new Promise(resolve => { answers.push(resolve) }))
  mock.timers.tick(MINUTE)
  t.equal(answers.length, 1)

  answers[0]!(2)
  await turn()
  t.equal(others.count, 1)
  mock.timers.tick(MINUTE)
  t.equal(answers.length, 2, 'once it is answered, the next one follows')

  others.end()
  answers[1]!(3)
  await turn()
  mock.timers.tick(MINUTE)
  t.same([answers.length, others.count], [2, 1], 'after the end, an answer counts for nothing')
})

test('a look for other consumers that fails is followed by another one', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let looks = 0
  const others = new OtherConsumers('queue', undefined as never)
  others.watch(async () => { throw new Error(`look ${++looks}`) })
  await turn()
  mock.timers.tick(MINUTE)
  t.equal(looks, 2)
  others.end()
})
