import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'tap'
import { platforms, supportedVersions } from '../support/platforms/platforms.js'
import { assertPossible } from '../support/platforms/root.js'
import { independentTests, platformTests } from '../support/platforms/test-files.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')

/** The cells of a table's rows, by the first one. */
async function cellsOf (path: string): Promise<Map<string, string[]>> {
  const rows = (await read(path)).split('\n').filter(line => line.startsWith('| '))
  return new Map(rows.map(row => row.split('|').slice(1, -1).map(cell => cell.trim())).map(([name, ...cells]) => [name!, cells]))
}

test('the supported versions in the README are those of the platforms and of package.json', async t => {
  const readme = await cellsOf('README.md')
  const { engines, peerDependencies } = JSON.parse(await read('package.json')) as { engines: { node: string }, peerDependencies: Record<string, string> }
  const [, minimum = ''] = /^>=(\d+\.\d+)\.0$/.exec(engines.node) ?? []
  const oldest = supportedVersions.Node[0]!
  t.same(readme.get('RabbitMQ'), [supportedVersions.RabbitMQ.join(', ')])
  t.same(readme.get('Redis, for `hold.redis`'), [supportedVersions.Redis.join(', ')])
  t.match(minimum, new RegExp(`^${oldest}\\.`))
  const inWords = (range: string) => range.split(' || ').map(part => part.replace(/^\^/, '').replace(/(\.0)+$/, '')).map(version => version.includes('.') ? `${version} or later` : version).join(', ')
  t.same(readme.get('Fastify'), [inWords(peerDependencies.fastify!)])
  const optional = { 'ioredis, for `hold.redis`': 'ioredis', 'prom-client, for `metrics`': 'prom-client', '`@opentelemetry/api`, for `tracing`': '@opentelemetry/api' }
  for (const [row, name] of Object.entries(optional)) t.same(readme.get(row), [inWords(peerDependencies[name]!)], name)
  t.same(readme.get('Node'), [[`${oldest} (${minimum} or later)`, ...supportedVersions.Node.slice(1)].join(', ')])
})

test('the platforms in the documents are those of the code', async t => {
  const page = await cellsOf('docs/platforms.md')
  for (const { name, rabbitmq, redis, node } of platforms) t.same(page.get(`\`${name}\``)?.slice(1), [rabbitmq, redis, node], name)
})

test('every test runs on the platforms, but for those that are named', t => {
  const files = platformTests(root)
  for (const path of ['test/queue.ts', 'test/hold-redis.ts', 'test/cluster.ts', 'test/faults/cluster-load.ts']) t.ok(files.includes(path), path)
  const all = readdirSync(`${root}test`, { recursive: true }).map(path => basename(String(path)))
  for (const name of independentTests) {
    t.ok(all.includes(`${name}.ts`), `${name} exists`)
    t.notOk(files.some(path => basename(path) === `${name}.ts`), `${name} is left out`)
  }
  t.notOk(files.some(path => path.startsWith('test/support/')), 'what is no test is left out')
  t.end()
})

test('no test that runs on the platforms starts npm, which they do not have', async t => {
  const files = platformTests(root)
  const starting = await Promise.all(files.map(async path => /\(\s*'np[mx]'/.test(await read(path)) ? [path] : []))
  t.same(starting.flat().filter(path => path !== 'test/platforms.ts'), [])
})

test('where platforms can not be made, that is an error which says what is needed', async t => {
  await t.rejects(assertPossible({ isDebianRoot: false }), { code: 'PLATFORM_UNAVAILABLE', message: /run this as root on Debian or Ubuntu/ })
})

test('an unknown platform is refused, with the names of those that there are', async t => {
  const { NODE_OPTIONS, ...env } = process.env
  const run = promisify(execFile)(process.execPath, ['--import', 'tsx', 'support/platforms/run.ts', 'nonsense'], { cwd: root, env })
  await t.rejects(run, { code: 64, stderr: /There is no platform nonsense\. There are: bookworm-node20, / })
})
