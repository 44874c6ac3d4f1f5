import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { test } from 'tap'
import { parse } from 'yaml'
import { metricTable, type MetricDefinition } from '../../src/observability/metrics/table.js'
import { findPromtool } from '../../support/prometheus/install.js'

const run = promisify(execFile)
const file = (name: string) => fileURLToPath(new URL(`../../example/${name}`, import.meta.url))
const [alerts, tests, dashboard, page, runbook] = await Promise.all(['alerts.yml', 'alerts.test.yml', 'grafana-dashboard.json', '../docs/operation.md', '../docs/runbook.md'].map(name => readFile(file(name), 'utf8')))
const definitions: MetricDefinition[] = Object.values(metricTable)

interface AlertRule { alert: string, expr: string, labels: { severity: string }, annotations: { summary: string, description: string, runbook_url: string } }
const rulesOf = (text: string) => (parse(text) as { groups: Array<{ rules: AlertRule[] }> }).groups.flatMap(({ rules }) => rules)
const rules = rulesOf(alerts!)

/** The sections of the runbook, by their headings: an alert each. */
const sections = new Map(runbook!.split('\n## ').slice(1).map(section => {
  const [heading, ...text] = section.split('\n\n')
  return [heading!, text.join('\n\n')] as const
}))

/** What the dashboard asks Prometheus for. */
const expressions = [...dashboard!.matchAll(/"(?:expr|query)": ("(?:[^"\\]|\\.)*")/g)].map(([, text]) => JSON.parse(text!) as string)
  .map(text => /^label_values\((.*), \w+\)$/.exec(text)?.[1] ?? text).filter(text => text.includes('fastify_notification_'))

/** The metric that a series is of: a histogram has three. */
function definitionOf (series: string): MetricDefinition | undefined {
  return definitions.find(({ name, type }) => type === 'histogram' ? ['_bucket', '_sum', '_count'].some(end => name + end === series) : name === series)
}

/** The metric that the runbook names as the documents do: a histogram by its own name. */
const definitionNamed = (name: string) => definitions.find(definition => definition.name === name)

for (const [what, text, find] of [
  ['dashboard', expressions.join('\n'), definitionOf], ['alert rules', alerts!, definitionOf], ['tests of the alert rules', tests!, definitionOf], ['runbook', runbook!, definitionNamed]
] as const) {
  test(`the ${what}: every metric is there, with these labels`, async t => {
    const uses = [...text.matchAll(/(fastify_notification_\w+)(?:\{([^}]*)\})?/g)]
    t.ok(uses.length > 10, `${uses.length}`)
    for (const [, series, selector = ''] of uses) {
      const definition = find(series!)
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

test('the dashboard begins with what one asks first, and leads to sections of the runbook', async t => {
  const { panels } = JSON.parse(dashboard!) as { panels: Array<{ title: string, gridPos: { y: number }, links?: Array<{ title: string, url: string }> }> }
  t.same(panels.slice(0, 7).map(({ title }) => title), [
    'What one asks first', 'State of each instance', 'Unsettled of prefetch, by what they wait for', 'What fails',
    'Refused upgrades', 'Waiting in the queue', 'Waiting in the dead-letter queue'
  ])
  const links = panels.flatMap(({ links = [] }) => links)
  t.ok(links.length > 10, `${links.length}`)
  for (const { title, url } of links) {
    t.ok(sections.has(title), title)
    t.equal(url, `\${runbook}#${title.toLowerCase()}`)
  }
})

test('every metric is in the documents, with its type, its labels and what it says', async t => {
  for (const { name, type, labels, help } of definitions) {
    t.match(page, `| \`${name}\` | ${type} | ${labels.map(label => `\`${label}\``).join(', ')}${labels.length > 0 ? ' ' : ''}| ${help} |`)
  }
})

test('each alert has its section in the runbook: how severe it is, its metrics, what to check and what to do', async t => {
  t.same([...sections.keys()], rules.map(({ alert }) => alert))
  for (const { alert, expr, labels } of rules) {
    const section = sections.get(alert)!
    t.match(section, new RegExp(`^\\*\\*${labels.severity}\\.\\*\\* \\S`), alert)
    t.match(section, /^\| check.* \| what to do \|\n\| --- \| --- \|\n(?:\| \S.* \| \S.* \|\n){2}/m, `${alert} has at least two things to check, each with what to do`)
    for (const [series] of expr.matchAll(/fastify_notification_\w+/g)) t.match(section, definitionOf(series)!.name, alert)
  }
})

test('the runbook quotes log lines that are there', async t => {
  const logs = page!.split('\n## Logs')[1]!
  const quoted = [...runbook!.matchAll(/log lines? (`[^`]+`)/gi)].map(([, line]) => line!)
  t.ok(quoted.length > 5, `${quoted.length}`)
  for (const line of quoted) t.match(logs, line)
})

test('the page of operation lists every alert with its severity, and leads to its section', async t => {
  const rows = [...page!.matchAll(/^\| \[`(\w+)`\]\((.*)\) \| (\w+) \| \S/gm)].map(([, alert, link, severity]) => ({ alert, link, severity }))
  t.same(rows, rules.map(({ alert, labels }) => ({ alert, link: `runbook.md#${alert.toLowerCase()}`, severity: labels.severity })))
})

test('each alert leads to its section of the runbook, and its description answers instead of asking', async t => {
  for (const { alert, annotations } of rules) {
    t.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`)
    t.match(annotations.description, /^[^?]+\.$/, alert)
  }
})

test('the command of the runbook turns the address of every section into a link', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'runbook-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'alerts.yml'), alerts!)
  const [, command] = /```sh\n(sed .*)\n```/.exec(runbook!)!
  await run('sh', ['-c', command!], { cwd: folder })
  const links = rulesOf(await readFile(join(folder, 'notification-alerts.yml'), 'utf8')).map(({ annotations }) => annotations.runbook_url)
  t.same(links, rules.map(({ annotations }) => `https://wiki.example.com/notifications/${annotations.runbook_url}`))
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
