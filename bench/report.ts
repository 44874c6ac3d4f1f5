import { description } from './chart.js'
import { everybody } from './contenders.js'
import { quantities, type Measurement, type Quantity, type Row } from './results.js'
import { ratioOf } from './statistics.js'
import { targets } from './targets.js'

/** Every figure with its range and its ratio to the last entrant, as Markdown: a table for each workload. */
export function table (rows: Row[]): string {
  const workloads = [...new Set(rows.map(row => row.workload))]
  return workloads.map(workload => tableOf(workload, rows.filter(row => row.workload === workload))).join('\n\n')
}

function tableOf (workload: string, rows: Row[]): string {
  const names = Object.keys(rows[0]!.quantities) as Quantity[]
  const cells = (row: Row) => names.map(name => cell(row, rows.at(-1)!, name))
  return [
    `| ${workload} | ${names.map(name => quantities[name]).join(' | ')} |`,
    `| --- |${' --- |'.repeat(names.length)}`,
    ...rows.map(row => `| ${row.entrant} | ${cells(row).join(' | ')} |`)
  ].join('\n')
}

function cell (row: Row, reference: Row, name: Quantity): string {
  const { median, min, max } = row.quantities[name]!
  const ratio = row === reference ? '' : ` · ${ratioOf(row.quantities[name]!, reference.quantities[name]!).median.toFixed(2)}×`
  return `**${figure(median)}** (${figure(min)}–${figure(max)})${ratio}`
}

function figure (value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

/** What was to be reached, and what was. Of several runs: with the lowest and the highest ratio of one. */
export function verdicts (rows: Row[]): string {
  const lines = targets.flatMap(({ workload, quantity, ours, theirs, inverse, atMost }) => {
    const summary = (entrant: string) => rows.find(row => row.workload === workload && row.entrant === entrant)?.quantities[quantity]
    const [a, b] = inverse === true ? [summary(theirs), summary(ours)] : [summary(ours), summary(theirs)]
    if (a === undefined || b === undefined) return []
    const { median, min, max } = ratioOf(a, b)
    const range = a.medians === undefined ? '' : ` (${min.toFixed(2)}–${max.toFixed(2)})`
    return `| ${workload} | ${quantities[quantity]} | ${ours} | ${theirs} | ${median.toFixed(2)}${range} | ${atMost} | ${median <= atMost ? 'yes' : 'no'} |`
  })
  return ['| workload | | of | against | ratio | aim: at most | reached |', '| --- | --- | --- | --- | --- | --- | --- |', ...lines].join('\n')
}

/** Where and with what it was measured. */
function provenance ({ date, machine, versions, rows }: Measurement): string {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')
  const rounds = `at least ${Math.min(...rows.map(({ rounds }) => rounds))} rounds`
  const runs = countRuns(rows)
  return `${date}; ${machine}; ${packages}; medians of ${runs === 1 ? rounds : `${runs} runs of ${rounds}`}`
}

/** In how many runs everything was measured. */
function countRuns (rows: Row[]): number {
  return Math.min(...rows.flatMap(row => Object.values(row.quantities).map(({ medians }) => medians?.length ?? 1)))
}

/** What the tables show as ratio: see {@link ratioOf}. */
function ratios ({ rows }: Measurement): string {
  return countRuns(rows) === 1 ? 'ratio' : "median of the runs' ratios"
}

/** What people run. On a classic queue, what is acked on delivery is never stored. */
const LEADING = 'many users, quorum queue'

/** Those workloads that everybody takes part in. */
function shared (rows: Row[]): string[] {
  const all = [LEADING, ...new Set(rows.map(({ workload }) => workload).filter(workload => workload !== LEADING))]
  return all.filter(workload => everybody.every(({ title }) => rows.some(row => row.workload === workload && row.entrant === title)))
}

/** The contenders side by side, in the workloads that all of them take part in. */
function sideBySide (rows: Row[]): string {
  const lines = shared(rows).flatMap(workload => {
    const entrants = everybody.map(({ title }) => rows.find(row => row.workload === workload && row.entrant === title)!)
    const names = Object.keys(entrants[0]!.quantities) as Quantity[]
    return names.map(name => `| ${workload}: ${quantities[name]} | ${entrants.map(row => cell(row, entrants.at(-1)!, name)).join(' | ')} |`)
  })
  return [`| | ${everybody.map(({ title }) => title).join(' | ')} |`, `| --- |${' --- |'.repeat(everybody.length)}`, ...lines].join('\n')
}

/** The chart for the README. Less is better. */
export function headlines (measured: Measurement): string {
  return [
    '<picture>',
    '  <source media="(prefers-color-scheme: dark)" srcset="docs/speed-dark.svg">',
    `  <img src="docs/speed-light.svg" alt="${description(measured)}">`,
    '</picture>',
    '',
    `Less is better. ${provenance(measured)}.`
  ].join('\n')
}

/** The contenders side by side; then the aims. */
export function summary (measured: Measurement): string {
  return [`${provenance(measured)} (minimum–maximum) · ${ratios(measured)} to ours.`, sideBySide(measured.rows), verdicts(measured.rows)].join('\n\n')
}

/** The other workloads. */
export function details (measured: Measurement): string {
  const { rows } = measured
  const inSummary = shared(rows)
  return `${provenance(measured)} (minimum–maximum) · ${ratios(measured)} to the last row of each table.\n\n${table(rows.filter(({ workload }) => !inSummary.includes(workload)))}`
}

/** Several instances, and what else was measured, on a newer RabbitMQ. */
function newer (measured: Measurement): string {
  return [`${provenance(measured)} (minimum–maximum) · ${ratios(measured)} to the last row of each table.`, table(measured.rows), verdicts(measured.rows)].join('\n\n')
}

/** The files of results that the documents show, with the parts of the documents that the bench writes from each. */
export const parts: Record<string, Record<string, (measured: Measurement) => string>> = {
  'bench/results.json': { headlines, summary, details },
  'bench/results-rabbitmq-4.json': { newer }
}

/**
 * Writes what was measured between the marks that a document has for it: `<!-- summary -->` to
 * `<!-- end of the summary -->`, and so on.
 * @param file the results, a key of {@link parts}
 */
export function fill (document: string, file: string, measured: Measurement): string {
  let filled = document
  for (const [name, write] of Object.entries(parts[file] ?? {})) {
    filled = filled.replace(new RegExp(`(?<=<!-- ${name} -->\\n)[^]*(?=<!-- end of the ${name} -->)`), () => `${write(measured)}\n`)
  }
  return filled
}
