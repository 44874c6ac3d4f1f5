import { quantities, type Quantity, type Row } from './results.js'
import { targets } from './targets.js'

/** The figures as Markdown: a table for each workload, each figure with its range and its ratio to ours. */
export function table (rows: Row[]): string {
  const workloads = [...new Set(rows.map(row => row.workload))]
  return workloads.map(workload => tableOf(workload, rows.filter(row => row.workload === workload))).join('\n\n')
}

function tableOf (workload: string, rows: Row[]): string {
  const names = Object.keys(rows[0]!.quantities) as Quantity[]
  const reference = rows.at(-1)!
  const cells = (row: Row) => names.map(name => {
    const { median, min, max } = row.quantities[name]!
    const ratio = row === reference ? '' : ` · ${(median / reference.quantities[name]!.median).toFixed(2)}×`
    return `**${figure(median)}** (${figure(min)}–${figure(max)})${ratio}`
  })
  return [
    `| ${workload} | ${names.map(name => quantities[name]).join(' | ')} |`,
    `| --- |${' --- |'.repeat(names.length)}`,
    ...rows.map(row => `| ${row.entrant} | ${cells(row).join(' | ')} |`)
  ].join('\n')
}

function figure (value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

/** What was to be reached, and what was. */
export function verdicts (rows: Row[]): string {
  const lines = targets.flatMap(({ workload, quantity, ours, theirs, inverse, atMost }) => {
    const median = (entrant: string) => rows.find(row => row.workload === workload && row.entrant === entrant)?.quantities[quantity]?.median
    const [a, b] = inverse === true ? [median(theirs), median(ours)] : [median(ours), median(theirs)]
    if (a === undefined || b === undefined) return []
    const ratio = a / b
    return `| ${workload} | ${quantities[quantity]} | ${ours} | ${theirs} | ${ratio.toFixed(2)} | ${atMost} | ${ratio <= atMost ? 'yes' : 'no'} |`
  })
  return ['| workload | | of | against | ratio | at most | reached |', '| --- | --- | --- | --- | --- | --- | --- |', ...lines].join('\n')
}
