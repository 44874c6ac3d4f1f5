// Makes `dist-client`: the client as a package of its own, for front ends that don't want the server. Run it after a build.
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'

const root = new URL('../', import.meta.url)
const target = new URL('dist-client/', root)
const { version, license, engines, peerDependencies } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'))

/** The entry points of a folder of `dist`. */
const entry = (folder: string) => ({ types: `./${folder}/index.d.ts`, default: `./${folder}/index.js` })

const manifest = {
  name: 'fastify-notification-client',
  version,
  description: 'The client of fastify-notification, for pages, Node, React and React Native',
  keywords: ['notification', 'websocket', 'push', 'realtime', 'client', 'react'],
  license,
  type: 'module',
  exports: { '.': entry('client'), './react': entry('react'), './package.json': './package.json' },
  main: './client/index.js',
  types: './client/index.d.ts',
  sideEffects: false,
  engines,
  peerDependencies: { react: peerDependencies.react },
  peerDependenciesMeta: { react: { optional: true } }
}

const readme = `# fastify-notification-client

The client of [fastify-notification](https://www.npmjs.com/package/fastify-notification), without the server and without a dependency. These are the same files as \`fastify-notification/client\` and \`fastify-notification/react\`, of the same version. The pages \`client.md\` and \`react.md\` of that package describe them.

\`\`\`js
import { NotificationClient } from 'fastify-notification-client'

const client = new NotificationClient('/notification', {
  onNotification: async ({ content }) => await show(content)
})
\`\`\`

\`import { NotificationProvider, useNotifications } from 'fastify-notification-client/react'\` for React 18 and 19.
`

await rm(target, { recursive: true, force: true })
await mkdir(target)
for (const folder of ['client', 'react']) await cp(new URL(`dist/${folder}`, root), new URL(folder, target), { recursive: true })
await cp(new URL('LICENSE', root), new URL('LICENSE', target))
await cp(new URL('CHANGELOG.md', root), new URL('CHANGELOG.md', target))
await writeFile(new URL('package.json', target), `${JSON.stringify(manifest, null, 2)}\n`)
await writeFile(new URL('README.md', target), readme)
