import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { details, fill, summary, type Measurement } from '../bench/report.js'
import { closeCodes } from '../src/index.js'
import { errors } from '../src/errors.js'
import { OptionsSchema } from '../src/options/schema.js'
import { useBroker } from './support/broker.js'
import { connectClient } from './support/client.js'
import { startProgram } from './support/process.js'

const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
const rows = readme.split('\n').filter(line => line.startsWith('| '))
const row = (name: string) => rows.find(line => line.startsWith(`| \`${name}\``)) ?? rows.find(line => line.startsWith(`| ${name} `))

test('the quick start of the README is that of the example, and works', async t => {
  const quickStart = await readFile(new URL('../example/quick-start.ts', import.meta.url), 'utf8')
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

test('every option is in the README, with its default', t => {
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
  t.end()
})

test('every error code and its status are in the README', t => {
  for (const CodedError of Object.values(errors)) {
    const { code, statusCode } = new (CodedError as new () => { code: string, statusCode: number })()
    t.match(row(code), `| \`${code}\` | ${statusCode} |`)
  }
  t.end()
})

test('the figures in the documents are those of the bench', async t => {
  const results = JSON.parse(await readFile(new URL('../bench/results.json', import.meta.url), 'utf8')) as Measurement
  t.equal(readme, fill(readme, summary(results)))
  const page = await readFile(new URL('../docs/speed.md', import.meta.url), 'utf8')
  t.equal(page, fill(page, details(results)))
  for (const document of [readme, page]) t.match(document, /<!-- figures -->\n[^]+<!-- end of the figures -->/)
})

test('every close code is in the README', t => {
  for (const code of Object.values(closeCodes)) t.ok(row(String(code)), String(code))
  t.end()
})
