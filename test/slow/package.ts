import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'tap'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

// The quick start's calls, without its broker; what it looks like is up to the three ways to import.
const body = `
  const app = Fastify()
  await app.register(notificationPlugin, {})
  await app.ready()
  const { outcome, connections } = await app.notifier.notify('123', 'hi')
  await app.close()
  console.log(outcome, connections)
`
const programs = {
  'index.ts': `import Fastify from 'fastify'\nimport notificationPlugin, { type NotifyResult } from 'fastify-notification'\n${body}\nexport type { NotifyResult }\n`,
  'named.mjs': `import Fastify from 'fastify'\nimport { notificationPlugin } from 'fastify-notification'\n${body}`,
  'index.cjs': `const Fastify = require('fastify')\nconst { notificationPlugin } = require('fastify-notification')\n;(async () => {${body}})()`,
  'default.cjs': `const Fastify = require('fastify')\nconst notificationPlugin = require('fastify-notification').default\n;(async () => {${body}})()`
}

// A page's project: DOM types, none of Node, and the types of libraries checked.
const page = {
  'page.ts': `import { NotificationClient } from 'fastify-notification/client'
    const client = new NotificationClient<string>('/notification', { WebSocket, onNotification: ({ content }) => { document.title = content } })
    client.addEventListener('ended', ({ code }) => console.log(code), { once: true })
    export { client }`
}

// Each way in which TypeScript finds the types of a package. React's are found too, though it is not installed with the client.
const resolutions = [
  { module: 'ES2022', moduleResolution: 'bundler' },
  { module: 'Node16', moduleResolution: 'node16' },
  { module: 'NodeNext', moduleResolution: 'nodenext' },
  { module: 'ES2022', moduleResolution: 'node10', ignoreDeprecations: '6.0' }
]

const projectOf = (resolution: object) => JSON.stringify({
  compilerOptions: { ...resolution, target: 'ES2022', lib: ['ES2022', 'DOM'], types: [], strict: true, noEmit: true }, files: ['page.ts']
})

test('the client as a package of its own needs nothing else, and its types are found in each way of resolution', { timeout: 600_000 }, async t => {
  const project = await mkdtemp(join(tmpdir(), 'fastify-notification-client-'))
  t.teardown(() => rm(project, { recursive: true, force: true }))
  await run('npm', ['run', 'build:client'], { cwd: root })
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project, './dist-client'], { cwd: root })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string, version: string }]
  const { version, devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  t.equal(packed.version, version)

  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', `./${packed.filename}`], { cwd: project })
  t.same((await readdir(join(project, 'node_modules'))).filter(name => !name.startsWith('.')), ['fastify-notification-client'])
  const program = "import { NotificationClient } from 'fastify-notification-client'\nconsole.log(typeof NotificationClient)"
  t.equal((await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: project })).stdout, 'function\n')

  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', ...['typescript', '@types/react'].map(name => `${name}@${devDependencies[name]}`)], { cwd: project })
  await writeFile(join(project, 'page.ts'), `import { NotificationClient } from 'fastify-notification-client'
    import { useNotifications, type ListedNotification } from 'fastify-notification-client/react'
    new NotificationClient<string>('/notification', { WebSocket, onNotification: ({ content }) => { document.title = content } })
    export const list = (): ReadonlyArray<ListedNotification<number>> => useNotifications<number>().notifications`)
  for (const resolution of resolutions) {
    await writeFile(join(project, 'tsconfig.json'), projectOf(resolution))
    await t.resolves(run('npx', ['tsc'], { cwd: project }), resolution.moduleResolution)
  }
})

test('the packed package works in an empty project, from TypeScript, import and require()', { timeout: 600_000 }, async t => {
  const project = await mkdtemp(join(tmpdir(), 'fastify-notification-package-'))
  t.teardown(() => rm(project, { recursive: true, force: true }))
  await run('npm', ['run', 'build'], { cwd: root })
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: root })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string, files: Array<{ path: string }> }]
  t.same(packed.files.filter(({ path }) => !path.startsWith('dist/')).map(({ path }) => path).sort(), [
    'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md', 'asyncapi.json',
    ...['architecture', 'authentication', 'client', 'delivery', 'errors', 'instances', 'messages', 'notifier', 'operation', 'options', 'platforms', 'protocol', 'rabbitmq', 'react', 'recipes', 'runbook', 'speed'].map(name => `docs/${name}.md`),
    'docs/conformance.json', 'docs/speed-dark.svg', 'docs/speed-light.svg',
    ...['README.md', 'alerts.test.yml', 'alerts.yml', 'grafana-dashboard.json', 'production.ts', 'quick-start.ts', 'screenshots/held.png', 'server.ts'].map(name => `example/${name}`),
    'package.json'
  ].sort())

  const { devDependencies, peerDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', `./${packed.filename}`, `fastify@${peerDependencies.fastify}`,
    `typescript@${devDependencies.typescript}`, `@types/node@${devDependencies['@types/node']}`], { cwd: project })
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'NodeNext', target: 'ES2022', strict: true, types: ['node'] }, exclude: ['page.ts'] }))
  for (const [name, text] of Object.entries({ ...programs, ...page })) await writeFile(join(project, name), text)

  for (const resolution of resolutions) {
    await writeFile(join(project, 'tsconfig.page.json'), projectOf(resolution))
    await t.resolves(run('npx', ['tsc', '--project', 'tsconfig.page.json'], { cwd: project }), resolution.moduleResolution)
  }
  await run('npx', ['tsc'], { cwd: project }) // types checked, those of our dependencies too
  for (const name of ['index.js', 'named.mjs', 'index.cjs', 'default.cjs']) {
    const { stdout, stderr } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', name], { cwd: project })
    t.same({ stdout, stderr }, { stdout: 'offline 0\n', stderr: '' }, name)
  }
})
