import { readdir } from 'node:fs/promises'
import { basename } from 'node:path'
import { comment, test } from 'tap'

const unitTests = new URL('../unit/', import.meta.url)
const unitGroups = new URL('../unit-groups/', import.meta.url)

/** The files of `test/unit` that each file of `test/unit-groups` runs. Every one has one group: they are dealt out in turn. */
export async function listGroups (): Promise<Map<string, string[]>> {
  const groups = await listTests(unitGroups)
  const files = await listTests(unitTests)
  return new Map(groups.map((group, turn) => [group, files.filter((_, index) => index % groups.length === turn)]))
}

/**
 * Runs the unit tests of a group in this process.
 *
 * @param url - the `import.meta.url` of a file of `test/unit-groups`
 */
export async function runGroup (url: string): Promise<void> {
  const groups = await listGroups()
  for (const file of groups.get(basename(url))!) {
    comment(`test/unit/${file}`) // the output names the file of the tests that follow
    await import(new URL(file, unitTests).href).catch((error: unknown) => {
      // A file that can't be loaded is one failed test. The other files run.
      test(`test/unit/${file} can be loaded`, () => { throw error })
    })
  }
}

/** The names of the test files in a folder, in the order of the alphabet. */
export async function listTests (folder: URL): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.endsWith('.ts')).sort()
}
