import { readdir, readFile } from 'node:fs/promises'
import { test } from 'tap'
import { fill, type Measurement } from '../bench/report.js'
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
  for (const name of await readdir(new URL('../docs', import.meta.url))) t.match(readme, `](docs/${name})`)
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
  const results = JSON.parse(await read('bench/results.json')) as Measurement
  const page = await read('docs/speed.md')
  for (const document of [readme, page]) t.equal(document, fill(document, results))
  t.match(readme, /<!-- headlines -->\n[^]+<!-- end of the headlines -->/)
  for (const part of ['summary', 'details']) t.match(page, new RegExp(`<!-- ${part} -->\\n[^]+<!-- end of the ${part} -->`))
})

test('every close code is on its page', async t => {
  const row = await rowsOf('docs/errors.md')
  for (const code of Object.values(closeCodes)) t.ok(row(String(code)), String(code))
})
