import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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
  'tsconfig.page.json': JSON.stringify({
    compilerOptions: { module: 'ES2022', moduleResolution: 'bundler', target: 'ES2022', lib: ['ES2022', 'DOM'], types: [], strict: true, noEmit: true },
    files: ['page.ts']
  }),
  'page.ts': `import { NotificationClient } from 'fastify-notification/client'
    const client = new NotificationClient<string>('/notification', { WebSocket, onNotification: ({ content }) => { document.title = content } })
    client.addEventListener('ended', ({ code }) => console.log(code), { once: true })
    export { client }`
}

test('the packed package works in an empty project, from TypeScript, import and require()', { timeout: 600_000 }, async t => {
  const project = await mkdtemp(join(tmpdir(), 'fastify-notification-package-'))
  t.teardown(() => rm(project, { recursive: true, force: true }))
  await run('npm', ['run', 'build'], { cwd: root })
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', project], { cwd: root })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string, files: Array<{ path: string }> }]
  t.same(packed.files.filter(({ path }) => !path.startsWith('dist/')).map(({ path }) => path).sort(), [
    'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'asyncapi.json',
    ...['architecture', 'authentication', 'client', 'delivery', 'errors', 'instances', 'messages', 'notifier', 'operation', 'options', 'platforms', 'protocol', 'rabbitmq', 'recipes', 'speed'].map(name => `docs/${name}.md`),
    'example/alerts.yml', 'example/grafana-dashboard.json', 'package.json'
  ])

  const { devDependencies, peerDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  await run('npm', ['install', '--prefer-offline', '--ignore-scripts', `./${packed.filename}`, `fastify@${peerDependencies.fastify}`,
    `typescript@${devDependencies.typescript}`, `@types/node@${devDependencies['@types/node']}`], { cwd: project })
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'NodeNext', target: 'ES2022', strict: true, types: ['node'] }, exclude: ['page.ts'] }))
  for (const [name, text] of Object.entries({ ...programs, ...page })) await writeFile(join(project, name), text)

  await run('npx', ['tsc', '--project', 'tsconfig.page.json'], { cwd: project })
  await run('npx', ['tsc'], { cwd: project }) // types checked, those of our dependencies too
  for (const name of ['index.js', 'named.mjs', 'index.cjs', 'default.cjs']) {
    const { stdout, stderr } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', name], { cwd: project })
    t.same({ stdout, stderr }, { stdout: 'offline 0\n', stderr: '' }, name)
  }
})
