import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { chart, themes, type Theme } from '../bench/chart.js'
import { fill, parts } from '../bench/report.js'
import type { Measurement } from '../bench/results.js'
import { closeCodes } from '../src/index.js'
import { errors } from '../src/errors.js'
import { OptionsSchema } from '../src/options/schema.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { startProgram } from './support/process.js'

const read = async (path: string) => await readFile(new URL(`../${path}`, import.meta.url), 'utf8')
const readme = await read('README.md')

/** A function that finds a row of a page's tables by its first cell. */
async function rowsOf (path: string): Promise<(name: string) => string | undefined> {
  const rows = (await read(path)).split('\n').filter(line => line.startsWith('| '))
  return name => rows.find(line => line.startsWith(`| \`${name}\``)) ?? rows.find(line => line.startsWith(`| ${name} `))
}

test('the README can be read in five minutes, and leads to every page', async t => {
  t.ok(readme.trimEnd().split('\n').length <= 230, 'it has at most 230 lines')
  const pages = (await readdir(new URL('../docs', import.meta.url))).filter(name => !name.endsWith('.svg'))
  for (const name of pages) t.match(readme, `](docs/${name})`)
})

test('the package has what the README and the documents link to, but for tests, tools and benchmarks', async t => {
  const { files } = JSON.parse(await read('package.json')) as { files: string[] }
  const isPacked = (path: string) => ['README.md', 'LICENSE'].includes(path) || files.some(file => path === file || path.startsWith(`${file}/`))
  const documents = (await readdir(new URL('../docs', import.meta.url))).filter(name => name.endsWith('.md')).map(name => `docs/${name}`)
  for (const page of ['README.md', 'SECURITY.md', 'CHANGELOG.md', ...documents]) {
    const text = (await read(page)).replace(/^```[^]*?^```/gm, '')
    const links = [...text.matchAll(/(?:\]\(|src(?:set)?=")([^)"\s#]+)/g)].map(([, link]) => link!).filter(link => !/^[a-z]+:/.test(link))
    const missing = links.map(link => join(dirname(page), link)).filter(path => !isPacked(path) && !/^(test|support|bench)\//.test(path))
    t.same(missing, [], page)
  }
})

test('the quick start of the README is that of the example, and works', async t => {
  const quickStart = await read('example/quick-start.ts')
  t.equal(/```ts\n([^]*?)```/.exec(readme)?.[1], quickStart)

  const broker = await useBroker(t)
  t.teardown(() => broker.channel.deleteQueue('hello'))
  const program = startProgram(t, 'example/quick-start.ts', [], { AMQP_URL: broker.url, PORT: '0' })
  const url = await new Promise<string>(resolve => {
    program.stdout!.on('data', data => {
      const listening = /Server listening at http:\/\/(127\.0\.0\.1:\d+)/.exec(data)
      if (listening !== null) resolve(listening[1]!)
    })
  })
  const client = await connectClient(t, `ws://${url}/notification?userId=123`)
  await broker.publish('hello', '{"userId":"123","content":"hello world"}')
  t.same(await client.received(1), ['hello world'])
  const response = await fetch(`http://${url}/notify/123`, { method: 'POST', body: 'hi', headers: { 'content-type': 'text/plain' } })
  t.match(await response.json(), { outcome: 'sent', connections: 1 })
  t.same(await client.received(2), ['hello world', 'hi'])
})

test('the table of cases in the README names options that there are', async t => {
  const rows = readme.split('\n## Which options do I need?\n')[1]!.split('\n## ')[0]!.split('\n').filter(line => line.startsWith('| ')).slice(2)
  t.ok(rows.length >= 7, `${rows.length}`)
  const names = rows.flatMap(row => [...row.split(' | ')[1]!.matchAll(/`([\w.]+)/g)].map(([, name]) => name!))
  for (const name of names) {
    const [group, member] = name.split('.') as [string, string?]
    const schema = OptionsSchema.properties[group as keyof typeof OptionsSchema.properties] as { properties?: object } | undefined
    t.ok(schema !== undefined && (member === undefined || member in schema.properties!), name)
  }
})

test('every option is on its page, with its default', async t => {
  const row = await rowsOf('docs/options.md')
  function check (properties: object, prefix = ''): void {
    for (const [name, schema] of Object.entries(properties)) {
      if (schema.properties !== undefined) check(schema.properties, `${name}.`)
      else {
        const line = row(prefix + name)
        t.ok(line, prefix + name)
        if (schema.default !== undefined) t.match(line, `| \`${typeof schema.default === 'string' ? `'${schema.default}'` : schema.default}\` |`)
      }
    }
  }
  check(OptionsSchema.properties)
})

test('every error code and its status are on their page', async t => {
  const row = await rowsOf('docs/errors.md')
  for (const CodedError of Object.values(errors)) {
    const { code, statusCode } = new (CodedError as new () => { code: string, statusCode: number })()
    t.match(row(code), `| \`${code}\` | ${statusCode} |`)
  }
})

test('the figures in the documents are those of the bench', async t => {
  const page = await read('docs/speed.md')
  for (const file of Object.keys(parts)) {
    const results = JSON.parse(await read(file)) as Measurement
    for (const document of [readme, page]) t.equal(document, fill(document, file, results))
    for (const part of Object.keys(parts[file]!)) t.match(readme + page, new RegExp(`<!-- ${part} -->\\n[^]+<!-- end of the ${part} -->`))
  }
  const results = JSON.parse(await read('bench/results.json')) as Measurement
  for (const theme of Object.keys(themes) as Theme[]) t.equal(await read(`docs/speed-${theme}.svg`), chart(results, theme))
})

test('every close code is on its page', async t => {
  const row = await rowsOf('docs/errors.md')
  for (const code of Object.values(closeCodes)) t.ok(row(String(code)), String(code))
})
