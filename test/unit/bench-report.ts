// What the documents show of several runs of the bench.
import { test } from 'tap'
import { fill, verdicts } from '../../bench/report.js'
import { combine, type Measurement } from '../../bench/results.js'

/** A run in which a hand-written bridge took 10 µs of processor time, and ours took so many. */
function run (median: number, version = '3.10.8'): Measurement {
  const row = (entrant: string, median: number) => ({ workload: 'bursts', entrant, rounds: 3, quantities: { cpu: { median, min: median - 1, max: median + 1 } } })
  return { date: '2026-01-01', machine: 'one', versions: { rabbitmq: version }, rows: [row('by hand, auto-ack', 10), row('fastify-notification', median)] }
}

test('several runs are one, with the medians of their medians, and the lowest and highest ratio of one of them', t => {
  const combined = combine([run(9), run(5), run(7)])
  t.match(combined.rows.at(-1)!.quantities.cpu, { median: 7, min: 4, max: 10 })
  t.match(verdicts(combined.rows), /\| bursts \|.+\| 0\.70 \(0\.50–0\.90\) \| 0\.65 \| no \|/)
  t.match(fill('<!-- newer -->\n<!-- end of the newer -->', 'bench/results-rabbitmq-4.json', combined), 'medians of 3 runs of at least 3 rounds')
  t.end()
})

test('one run has no range of ratios', t => {
  t.match(verdicts(run(6).rows), '| 0.60 | 0.65 | yes |')
  t.match(fill('<!-- newer -->\n<!-- end of the newer -->', 'bench/results-rabbitmq-4.json', run(6)), 'medians of at least 3 rounds')
  t.end()
})

test('runs of other versions, or of other workloads, are not made one', t => {
  t.throws(() => combine([run(6), run(6, '4.3.6')]), /the runs are of .*3\.10\.8.* and of .*4\.3\.6/)
  t.throws(() => combine([run(6), { ...run(6), rows: [] }]), /run 2 has no bursts, by hand, auto-ack/)
  t.end()
})
