// What an instance asks a peer for: messages to one user and to many, in the order in which they were taken.
import { test, type Test } from 'tap'
import { decodeFrame, type Frame } from '../../src/cluster/frames.js'
import { EVERYBODY, type Published } from '../../src/cluster/wire.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose, composePayload } from '../../src/delivery/notification.js'
import { MemoryMessage } from '../support/core.js'
import { startLoneCore } from '../support/lone-core.js'

/** An instance with a peer that has the user 123. The broker answers as the test says. */
function start (t: Test) {
  const published: Array<{ to: string, frame: Frame, done (published: Published): void }> = []
  const deferred: Array<() => void> = []
  const core = startLoneCore(t, {
    publish: (to, json, done) => { published.push({ to, frame: decodeFrame(Buffer.from(json), to === EVERYBODY) as Frame, done }) },
    defer: run => { deferred.push(run) },
    later: (_milliseconds, run) => { deferred.push(run) }
  })
  t.teardown(() => core.close())
  core.opened('inbox')
  /** The peer begins a term. */
  function hear (term: number, inbox: string, userId = '123'): void {
    const body = { here: [userId], gone: [], more: 0 }
    core.receive(decodeFrame(Buffer.from(JSON.stringify({ v: 1, from: 'peer', inbox, term, seq: 1, kind: 'presence', body })), true) as Frame)
  }
  hear(1, 'its inbox')
  let position = 0
  function take (id: string): void {
    core.peers.deliver(new Delivery(compose('123', 'hello', id), new MemoryMessage(), ++position, Infinity), false)
  }
  function takeForMany (id: string): void {
    core.multicasts.deliver({ group: undefined, except: new Set() }, composePayload('hello', id), new MemoryMessage())
  }
  /** What was published for the peer since the last call, up to the end of this turn, ids and `wake`; and the broker's answer to it. */
  function flush (answer: Published = 'routed'): string[] {
    for (const run of deferred.splice(0)) run()
    const ids: string[] = []
    const answers: Array<() => void> = []
    for (const { frame, done } of published.splice(0)) {
      if (frame.kind === 'wake') ids.push(frame.kind)
      else if (frame.kind !== 'relay' && frame.kind !== 'multicast') continue
      else ids.push(...frame.body.map(({ id }) => id))
      answers.push(() => done(answer))
    }
    for (const run of answers) run()
    return ids
  }
  return { core, hear, take, takeForMany, flush }
}

test('what a peer is asked for again in its new inbox keeps the order, be it for one user or for many', async t => {
  const { hear, take, takeForMany, flush } = start(t)
  takeForMany('n1')
  take('n2')
  takeForMany('n3')
  take('n4')
  t.same(flush(), ['n1', 'n2', 'n3', 'n4'])
  hear(2, 'its other inbox')
  t.same(flush(), ['n1', 'n2', 'n3', 'n4'])
})

test('what the broker may not have keeps the order, be it for one user or for many', async t => {
  const { core, take, takeForMany, flush } = start(t)
  takeForMany('n1')
  take('n2')
  t.same(flush('unknown'), ['n1', 'n2'])
  core.opened('inbox')
  t.same(flush(), ['n1', 'n2'])
})

test('a peer is told that something older is held before it is asked for anything newer', async t => {
  const { core, take, takeForMany, flush } = start(t)
  core.peers.wake('123')
  takeForMany('n1')
  take('n2')
  t.same(flush(), ['wake', 'n1', 'n2'])
})

test('a peer that may not have been told that something is held is told before it is asked again for what is newer', async t => {
  const { core, take, flush } = start(t)
  core.peers.wake('123')
  take('n1')
  t.same(flush('unknown'), ['wake', 'n1'])
  core.opened('inbox')
  t.same(flush(), ['wake', 'n1'])
})

test('a peer that announces a user for whom something is held is told so', async t => {
  const { core, hear, flush } = start(t)
  core.peers.wake('456')
  t.same(flush(), ['wake'])
  hear(2, 'its other inbox', '456')
  t.same(flush(), ['wake'])
})
