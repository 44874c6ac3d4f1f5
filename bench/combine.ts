// Makes one of several complete runs, and writes the figures down, into the documents too.
// tsx bench/combine.ts run-1.json run-2.json run-3.json [--json FILE]
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { combine, type Measurement } from './results.js'
import { KEPT, writeDown } from './write-down.js'

const { values: { json }, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string', default: KEPT } } })
const [first, ...others] = await Promise.all(positionals.map(async file => JSON.parse(await readFile(file, 'utf8')) as Measurement))
if (first === undefined) throw new Error('name the files that `npm run bench -- --json FILE` has written, one for each run')
await writeDown(json, combine([first, ...others]))
