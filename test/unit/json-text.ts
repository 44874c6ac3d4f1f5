import { test } from 'tap'
import { asWritten } from '../../src/rabbitmq/as-written.js'
import { textAt, type Path } from '../../src/rabbitmq/json-text.js'
import { memoryInUse } from '../support/collect-garbage.js'
import { createRandom, type Random } from '../support/random.js'

/** The escapes, quotes and brackets are where a scanner could lose its way. */
const STRINGS = ['""', '"a"', '"\\\\"', '"\\""', '"\\\\\\""', '"]"', '"{,:"', '"\\u0061"', '"é€😀"', '"content"', '"a b"']
const SCALARS = ['0', '-0', '1E400', '1e-400', '9007199254740993', '12345678901234567890.50', 'true', 'false', 'null', ...STRINGS]
const SPACES = ['', '', '', ' ', '\n', '\t \r\n']

/** A random JSON text, and the texts of all values in it by their paths. */
function write (random: Random, depth: number, path: Path, texts: Map<string, string>): string {
  const space = () => random.oneOf(SPACES)
  const kind = depth === 0 ? 0 : random.between(0, 2)
  const write1 = (step: string | number) => `${space()}${write(random, depth - 1, [...path, step], texts)}${space()}`
  const count = random.between(0, 4)
  let text: string
  if (kind === 0) text = random.oneOf(SCALARS)
  else if (kind === 1) text = `[${count === 0 ? space() : Array.from({ length: count }, (_, n) => write1(n)).join(',')}]`
  else {
    const keys = [...new Set(Array.from({ length: count }, () => random.oneOf(STRINGS)))]
    const members = new Map(keys.map(key => [JSON.parse(key) as string, key])) // the last of a name counts, so each is here once
    text = `{${members.size === 0 ? space() : [...members].map(([name, key]) => `${space()}${key}${space()}:${write1(name)}`).join(',')}}`
  }
  texts.set(JSON.stringify(path), text)
  return text
}

test('the text of each value of thousands of random JSON texts is found', { timeout: 120_000 }, t => {
  const random = createRandom(t)
  let found = 0
  for (let times = 0; times < 3_000 && t.passing(); times++) {
    const texts = new Map<string, string>()
    const json = `${random.oneOf(SPACES)}${write(random, 4, [], texts)}`
    for (const [path, text] of texts) {
      const written = textAt(json, JSON.parse(path) as Path)
      if (written.trim() !== text && t.passing()) t.fail(`${JSON.stringify(json)} at ${path}: ${JSON.stringify(written)}`)
      found++
    }
  }
  t.ok(found > 10_000, `${found}`)
  t.end()
})

test('of members of one name, the last one counts, however its name is written', t => {
  t.equal(textAt('{"a":1,"b":2,"\\u0061":3,"c":4}', ['a']), '3')
  t.equal(textAt('{"a":[1,2],"a":{"a":1.0}}', ['a', 'a']), '1.0')
  t.end()
})

test('a short text of a long one does not keep the long one in memory', t => {
  const junk = 'x'.repeat(1024 * 1024)
  const before = memoryInUse()
  // Each long text is made anew, so that all of them together would take 200 MiB.
  const kept = Array.from({ length: 200 }, (_, n) => textAt(Buffer.from(`{"junk":"${junk}","a":[1234567890,${n}]}`).toString(), ['a']))
  t.ok(memoryInUse() - before < 50 * 1024 * 1024)
  t.equal(kept[7], '[1234567890,7]')
  t.end()
})

test('the text of an object of a parsed text is found if nothing in it was changed', t => {
  const json = '{"data":{"list":[{"n":1.50},{"n":1E400}],"other":{}}}'
  const root = JSON.parse(json)
  t.equal(asWritten(json, root, root), json)
  t.equal(asWritten(json, root, root.data.list[1]), '{"n":1E400}')
  t.equal(asWritten(json, root, root.data.list), '[{"n":1.50},{"n":1E400}]')
  t.equal(asWritten(json, root, { ...root.data }), undefined, 'not a part of it')
  t.equal(asWritten('7', 7, root), undefined)
  root.data.list[0].n = 2
  t.equal(asWritten(json, root, root.data), undefined, 'changed')
  t.equal(asWritten(json, root, root.data.other), '{}')
  t.end()
})
