// An instance whose frames for a peer come back, as the broker knows no inbox of it.
import { test, type Test } from 'tap'
import { decodeFrame, type Frame } from '../../src/cluster/frames.js'
import type { Published } from '../../src/cluster/wire.js'
import { startLoneCore } from '../support/lone-core.js'

/** An instance that has heard of a peer, and has asked it for its users. The broker has not answered yet. */
function askPeer (t: Test) {
  const answers: Array<(published: Published) => void> = []
  const core = startLoneCore(t, {
    publish: (to, _json, done) => { if (to === 'its inbox') answers.push(done) }
  })
  t.teardown(() => core.close())
  core.opened('inbox')
  const hear = () => {
    const frame = decodeFrame(Buffer.from(JSON.stringify({ v: 1, from: 'peer', inbox: 'its inbox', term: 1, seq: 2, kind: 'beat', body: null })), true)
    core.receive(frame as Frame)
  }
  hear()
  t.equal(answers.length, 1)
  const comeBack = () => { for (const answer of answers.splice(0)) answer('returned') }
  return { core, hear, comeBack }
}

test('a peer whose inbox the broker does not know is gone', async t => {
  const { core, comeBack } = askPeer(t)
  t.equal(core.presence.peers.length, 1)
  comeBack()
  t.equal(core.presence.peers.length, 0)
})

test('a peer that was heard after that was published is there: its inbox is new, and not known everywhere yet', async t => {
  const { core, hear, comeBack } = askPeer(t)
  hear()
  comeBack()
  t.equal(core.presence.peers.length, 1)
})
