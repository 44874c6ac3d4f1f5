// Those who wait for a marker.
import { test } from 'tap'
import { Markers } from '../../src/cluster/markers.js'

function openMarkers () {
  const published: number[] = []
  const state = { isSettled: true }
  const markers = new Markers({
    timeout: 1_000,
    now: () => 0,
    publish: mark => { published.push(mark) },
    isSettled: () => state.isSettled,
    schedule () {},
    returned () {}
  })
  return { markers, published, state }
}

test('one marker serves all who wait, however many', t => {
  const { markers, published } = openMarkers()
  let called = 0
  for (let n = 0; n < 500_000; n++) markers.after(() => { called++ })
  markers.flush()
  markers.after(() => t.fail('comes too late for this marker'))
  markers.receive(1)
  t.equal(called, 500_000)
  t.same(published, [1, 2])
  t.end()
})

test('whoever does not wait any more is not called, wherever the marker is', t => {
  const { markers, published, state } = openMarkers()
  const forget = (): () => void => markers.after(() => t.fail('called'))
  forget()()
  markers.flush()
  t.same(published, [], 'nobody waits, so no marker is published')

  const first = forget()
  markers.flush()
  first()
  const second = forget()
  state.isSettled = false
  markers.receive(1)
  markers.receive(2)
  second()
  state.isSettled = true
  markers.check()
  t.same(published, [1, 2])
  t.end()
})
