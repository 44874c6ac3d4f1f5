import { test } from 'tap'
import { FrameSender } from '../../src/cluster/frame-sender.js'
import { decodeFrame } from '../../src/cluster/frames.js'
import type { Published, Wire } from '../../src/cluster/wire.js'

test('nothing is sent before the first term: peers could not use it', t => {
  const sent: string[] = []
  const wire: Pick<Wire, 'publish'> = { publish: (_to, frame) => { sent.push(frame) } }
  const frames = new FrameSender({ instance: 'a', wire: wire as Wire, seq: () => 0, peerOf: () => undefined, returned () {} })
  const answers: Published[] = []
  frames.beat()
  frames.toInbox('inbox of b', 'synced', '1', published => answers.push(published))
  t.same([sent, answers], [[], ['unknown']])
  frames.begin('inbox of a')
  frames.beat()
  t.match(decodeFrame(Buffer.from(sent[0]!), true), { kind: 'beat', term: 1 })
  t.equal(sent.length, 2, 'and the marker')
  t.end()
})
