// An instance that joins the others.
import { test } from 'tap'
import { Joining } from '../../src/cluster/joining.js'

/** The pause between two calls, in milliseconds. */
const PAUSE = 100

function join () {
  const clock = { now: 0 }
  /** The broker's answers that the test gives. */
  const answers: Array<(isRouted: boolean) => void> = []
  const joining = new Joining({ now: () => clock.now, patience: 5_000, hello: called => { answers.push(called) } })
  joining.begin([], true)
  function pass (pauses: number): void {
    for (let n = 0; n < pauses; n++) {
      clock.now += PAUSE
      joining.tick()
    }
  }
  return { joining, answers, pass }
}

test('nobody is welcomed before the second call is in the inbox of each peer, and an answer had its time', t => {
  const { joining, answers, pass } = join()
  pass(10)
  t.equal(answers.length, 2)
  t.notOk(joining.isOver, 'a peer may not know of this instance')
  for (const answer of answers) answer(true)
  pass(1)
  t.ok(joining.isOver)
  t.end()
})

test('a call that the broker has not taken is repeated', t => {
  const { joining, answers, pass } = join()
  pass(2)
  answers[0]!(true)
  answers[1]!(false)
  pass(2)
  t.notOk(joining.isOver)
  t.equal(answers.length, 3)
  answers[2]!(true)
  pass(1)
  t.ok(joining.isOver)
  t.end()
})

test('the answer to a call of a former term counts no more', t => {
  const { joining, answers, pass } = join()
  pass(2)
  joining.begin([], false)
  pass(2)
  answers[1]!(true)
  pass(2)
  t.notOk(joining.isOver)
  answers[3]!(true)
  pass(1)
  t.ok(joining.isOver)
  t.end()
})
