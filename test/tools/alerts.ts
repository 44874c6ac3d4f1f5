import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { test } from 'tap'
import { metricTable, type MetricDefinition } from '../../src/observability/metrics/table.js'
import { findPromtool } from '../../support/prometheus/install.js'

const run = promisify(execFile)
const file = (name: string) => fileURLToPath(new URL(`../../example/${name}`, import.meta.url))
const [alerts, tests, dashboard, page] = await Promise.all(['alerts.yml', 'alerts.test.yml', 'grafana-dashboard.json', '../docs/operation.md'].map(name => readFile(file(name), 'utf8')))
const definitions: MetricDefinition[] = Object.values(metricTable)

/** What the dashboard asks Prometheus for. */
const expressions = [...dashboard!.matchAll(/"(?:expr|query)": ("(?:[^"\\]|\\.)*")/g)].map(([, text]) => JSON.parse(text!) as string)
  .map(text => /^label_values\((.*), \w+\)$/.exec(text)?.[1] ?? text).filter(text => text.includes('fastify_notification_'))

/** The metric that a series is of: a histogram has three. */
function definitionOf (series: string): MetricDefinition | undefined {
  return definitions.find(({ name, type }) => type === 'histogram' ? ['_bucket', '_sum', '_count'].some(end => name + end === series) : name === series)
}

for (const [what, text] of [['dashboard', expressions.join('\n')], ['alert rules', alerts!], ['tests of the alert rules', tests!]] as const) {
  test(`the ${what}: every metric is there, with these labels`, async t => {
    const uses = [...text.matchAll(/(fastify_notification_\w+)(?:\{([^}]*)\})?/g)]
    t.ok(uses.length > 10, `${uses.length}`)
    for (const [, series, selector = ''] of uses) {
      const definition = definitionOf(series!)
      t.ok(definition, series!)
      const known = ['job', 'instance', 'le', ...definition?.labels ?? []]
      for (const [, label] of selector.matchAll(/(\w+)(?==~|=|!=|!~)(?:=~|!=|!~|=)"/g)) t.ok(known.includes(label!), `${series}: ${label}`)
    }
  })
}

test('the dashboard shows every metric, and each panel has a place of its own', async t => {
  const used = new Set([...expressions.join().matchAll(/fastify_notification_\w+/g)].map(([series]) => definitionOf(series!)))
  for (const definition of definitions) t.ok(used.has(definition), definition.name)
  const { panels } = JSON.parse(dashboard!) as { panels: Array<{ id: number, gridPos: { x: number, y: number, w: number, h: number } }> }
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, n) => `${x + n % w},${y + Math.floor(n / w)}`))
  t.equal(new Set(cells).size, cells.length)
})

test('every metric is in the documents, with its type, its labels and what it says', async t => {
  for (const { name, type, labels, help } of definitions) {
    t.match(page, `| \`${name}\` | ${type} | ${labels.map(label => `\`${label}\``).join(', ')}${labels.length > 0 ? ' ' : ''}| ${help} |`)
  }
})

test('every alert is in the runbook', t => {
  const runbook = page!.split('## Runbook')[1]!.split('\n## ')[0]!
  const rows = [...runbook.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  t.same(rows, [...alerts!.matchAll(/- alert: (\w+)/g)].map(([, name]) => name))
  t.end()
})

test('the alert rules do what they are for', async t => {
  const promtool = await findPromtool()
  await run(promtool, ['check', 'rules', file('alerts.yml')])
  await run(promtool, ['test', 'rules', file('alerts.test.yml')])
  for (const [, alert] of alerts!.matchAll(/- alert: (\w+)/g)) {
    const checks = [...tests!.matchAll(new RegExp(`alertname: ${alert}( })?$`, 'gm'))]
    t.ok(checks.some(([, silent]) => silent), `${alert} is seen not to fire`)
    t.ok(checks.some(([, silent]) => !silent), `${alert} is seen to fire`)
  }
})

test('promtool understands what the dashboard asks for', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const rules = expressions.map((expression, n) => ({ record: `panel:${n}`, expr: expression.replaceAll('$__rate_interval', '5m') }))
  await writeFile(join(folder, 'rules.yml'), JSON.stringify({ groups: [{ name: 'dashboard', rules }] }))
  const { stdout } = await run(await findPromtool(), ['check', 'rules', join(folder, 'rules.yml')])
  t.match(stdout, `${rules.length} rules found`)
})

test('the names and types of the metrics are as Prometheus wants them', async t => {
  const registry = new Registry()
  for (const { name, type, help, labels } of definitions) {
    const configuration = { name, help, labelNames: labels, registers: [registry] }
    const values = Object.fromEntries(labels.map(label => [label, 'x']))
    if (type === 'counter') new Counter(configuration).inc(values)
    else if (type === 'gauge') new Gauge(configuration).set(values, 1)
    else new Histogram(configuration).observe(values, 1)
  }
  const checked = run(await findPromtool(), ['check', 'metrics'])
  checked.child.stdin!.end(await registry.metrics())
  t.match(await checked, { stdout: '', stderr: '' })
})

test('where there is no promtool, an error says how to get one', async t => {
  await t.rejects(findPromtool({ install: false, path: '' }), { code: 'PROMTOOL_UNAVAILABLE', message: /apt-get install prometheus/ })
})
