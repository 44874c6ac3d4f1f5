import { test } from 'tap'
import { listGroups, listTests } from '../support/unit-groups.js'

test('every file of test/unit is in exactly one group of test/unit-groups', async t => {
  const grouped = [...(await listGroups()).values()].flat()
  t.same(grouped.sort(), await listTests(new URL('.', import.meta.url)))
})
