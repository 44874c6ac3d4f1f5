// 20,000 schedules of several instances that share a queue, always the same ones, in a process of their own: the hooks of
// the test runner would make them three times as slow.
import { once } from 'node:events'
import { test } from 'tap'
import { startProgram } from './support/process.js'

test('in 20,000 schedules, whatever happens to instances, channels and inboxes: nothing is lost, nobody who was welcomed is called offline, who is in a group gets what is for it, and nobody else, each connection gets each once, in order, with and without a hold', { timeout: 0 }, async t => {
  const program = startProgram(t, 'test/support/run-schedules.ts', ['2500'])
  let printed = ''
  program.stdout!.on('data', (text: string) => { printed += text })
  const [code] = await once(program, 'close')
  t.equal(code, 0)
  t.equal(printed, '')
})
