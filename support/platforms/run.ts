// Runs the tests on every platform: tsx support/platforms/run.ts [platform…] [test file…]
// Without arguments: every test that depends on the platform, on all platforms but the one that this machine is:
// there `npm test` and `npm run test:faults` run the same tests.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { platforms, type Platform } from './platforms.js'
import { assertPossible, makeRoot, PlatformError, runInRoot, type Root } from './root.js'
import { platformTests } from './test-files.js'

interface Result { platform: Platform, versions: Record<string, string>, passed: number, failed: number, isGreen: boolean, seconds: number }

const files = process.argv.slice(2).filter((argument) => argument.endsWith('.ts'))
const names = process.argv.slice(2).filter((argument) => !files.includes(argument))
const unknown = names.filter((name) => !platforms.some((platform) => platform.name === name))
if (unknown.length > 0) {
  console.error(`There is no platform ${unknown.join(', ')}. There are: ${platforms.map(({ name }) => name).join(', ')}`)
  process.exitCode = 64
} else {
  process.exitCode = await runAll(names.length > 0 ? platforms.filter(({ name }) => names.includes(name)) : await otherPlatforms())
}

async function otherPlatforms (): Promise<Platform[]> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const [, codename] = /^VERSION_CODENAME=(\w+)$/m.exec(release) ?? []
  const own = platforms.find(({ debian, node }) => debian === codename && node === process.versions.node.split('.')[0])
  if (own !== undefined) console.log(`# platform ${own.name}: this machine; npm test and npm run test:faults run its tests`)
  return platforms.filter((platform) => platform !== own)
}

async function runAll (selected: Platform[]): Promise<number> {
  const results: Result[] = []
  try {
    await assertPossible()
    for (const platform of selected) results.push(await runOn(platform))
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error
    console.error(error.message)
    return 1
  } finally {
    if (results.length > 0) console.log(tableOf(results))
  }
  return results.every(({ isGreen }) => isGreen) ? 0 : 1
}

async function runOn (platform: Platform): Promise<Result> {
  const { name } = platform
  console.log(`# platform ${name}: made, or found where it was made before`)
  const root = await makeRoot(platform)
  const versions = await versionsOf(root)
  console.log(`# platform ${name}: ${Object.entries(versions).map(([product, version]) => `${product} ${version}`).join(', ')}`)
  check(platform, versions)

  const startedAt = performance.now()
  const tests = files.length > 0 ? files : platformTests(fileURLToPath(new URL('../..', import.meta.url)))
  const command = ['node_modules/.bin/tsx', 'support/with-rabbitmq.ts', 'node_modules/.bin/tap', '--disable-coverage', '--reporter=tap', ...tests]
  const { code, output } = await runInRoot(root, command, (text) => process.stdout.write(text))
  const [, summary = ''] = /^# \{ (total: .*) \}$/m.exec(output) ?? []
  const count = (what: string) => Number(new RegExp(`\\b${what}: (\\d+)`).exec(summary)?.[1] ?? 0)
  return {
    platform, versions, passed: count('pass'), failed: count('fail'), isGreen: code === 0 && count('pass') > 0, seconds: (performance.now() - startedAt) / 1_000
  }
}

/** The exact versions of what a root has. */
async function versionsOf (root: Root): Promise<Record<string, string>> {
  const { output } = await runInRoot(root, ['sh', '-c', 'dpkg-query --show rabbitmq-server redis-server; node --version'])
  // Debian's versions are [epoch:]version-revision.
  const [, RabbitMQ = 'none'] = /rabbitmq-server\t(?:\d+:)?([\d.]+)/.exec(output) ?? []
  const [, Redis = 'none'] = /redis-server\t(?:\d+:)?([\d.]+)/.exec(output) ?? []
  const [, Node = 'none'] = /^v([\d.]+)$/m.exec(output) ?? []
  return { RabbitMQ, Redis, Node }
}

/** A release that is not yet stable moves on: then the table of platforms has to. */
function check ({ name, ...expected }: Platform, versions: Record<string, string>): void {
  for (const [product, wanted] of [['RabbitMQ', expected.rabbitmq], ['Redis', expected.redis], ['Node', expected.node]] as const) {
    if (`${versions[product]}.`.startsWith(`${wanted}.`)) continue
    throw new PlatformError(`Platform ${name} has ${product} ${versions[product]}; support/platforms/platforms.ts says ${wanted}.`)
  }
}

function tableOf (results: Result[]): string {
  const rows = results.map(({ platform, versions, passed, failed, isGreen, seconds }) => [
    platform.name, versions.RabbitMQ!, versions.Redis!, versions.Node!, String(passed), String(failed), isGreen ? 'green' : 'red', `${Math.round(seconds)} s`
  ])
  const all = [['platform', 'RabbitMQ', 'Redis', 'Node', 'passed', 'failed', 'result', 'time'], ...rows]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all.map((row) => `# ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}`).join('\n')
}
