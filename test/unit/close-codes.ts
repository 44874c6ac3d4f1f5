import { test } from 'tap'
import { closeCodes, meaningOf } from '../../src/close-codes.js'

test('each close code has words, those of the plugin and those of the protocol', async t => {
  const unknown = meaningOf(3999)
  for (const code of [1000, 1001, 1002, 1005, 1006, 1007, 1011, 1012, 1013, 1014, ...Object.values(closeCodes)]) t.not(meaningOf(code), unknown, `${code}`)
  t.equal(meaningOf(4999), unknown)
})
