// An instance without peers, on a broker that brings back what it publishes.
import { test } from 'tap'
import { decodeFrame } from '../../src/cluster/frames.js'
import { EVERYBODY } from '../../src/cluster/wire.js'
import { startLoneCore } from '../support/lone-core.js'

test('an instance that has found no peers keeps knowing it, for ten markers a second', t => {
  let now = 0
  let markers = 0
  const published: Array<() => void> = []
  const deferred: Array<() => void> = []
  const core = startLoneCore(t, {
    publish (to, json, done) {
      const frame = decodeFrame(Buffer.from(json), to === EVERYBODY)
      if (typeof frame === 'string') throw new Error(frame)
      if (frame.kind === 'mark' && frame.body > 0) markers++
      published.push(() => core.receive(frame), () => done('routed'))
    },
    now: () => now,
    defer: run => { deferred.push(run) },
    later: (_milliseconds, run) => { deferred.push(run) }
  })
  function pass (milliseconds: number): void {
    now += milliseconds
    if (now % 100 === 0) core.tick()
    for (const run of deferred.splice(0)) run()
    for (const arrive of published.splice(0)) arrive()
  }
  core.opened('inbox')
  for (let n = 0; n < 150; n++) pass(10)
  t.notOk(core.peers.areNone(), 'no marker was published')
  pass(10)
  markers = 0
  const answers = Array.from({ length: 200 }, () => {
    pass(5)
    return core.peers.areNone()
  })
  t.ok(answers.every(Boolean))
  t.ok(markers > 0 && markers <= 10, `${markers} markers`)
  core.close()
  t.end()
})
