// What an instance tells of the others, to one that may have missed them.
import { test } from 'tap'
import { decodeFrame, type Frame, type FrameOf } from '../../src/cluster/frames.js'
import { EVERYBODY } from '../../src/cluster/wire.js'
import { startLoneCore } from '../support/lone-core.js'

test('an instance tells which peers it knows when it answers a question, and when it begins a term; not those that have left', t => {
  const published: Frame[] = []
  const core = startLoneCore(t, {
    publish: (to, json, done) => {
      published.push(decodeFrame(Buffer.from(json), to === EVERYBODY) as Frame)
      done('routed')
    }
  })
  t.teardown(() => core.close())
  core.opened('inbox')
  function hear (from: string, kind: string, body: unknown, isToAll = true): void {
    core.receive(decodeFrame(Buffer.from(JSON.stringify({ v: 1, from, inbox: `inbox of ${from}`, term: 2, seq: 1, kind, body })), isToAll) as Frame)
  }
  for (const from of ['a', 'b', 'c']) hear(from, 'beat', null)
  hear('c', 'leave', null)
  hear('a', 'hello', 7, false)
  core.opened('another inbox')
  const peers = ['a', 'b'].map(instance => ({ instance, inbox: `inbox of ${instance}`, term: 2 }))
  const [state] = published.filter((frame): frame is FrameOf<'state'> => frame.kind === 'state')
  t.same(state?.body, { answers: 7, users: [], part: 0, more: 0, peers })
  const presence = published.filter((frame): frame is FrameOf<'presence'> => frame.kind === 'presence')
  t.same(presence.map(({ body }) => body.peers), [[], peers])
  t.end()
})
