import { readdirSync } from 'node:fs'
import { basename, join, relative } from 'node:path'

/** Folders of `test` that contain no tests, tests of another runner, or pages in a browser and tools beside the product. */
const otherFolders = new Set(['support', 'types', 'soak', 'fixture', 'tools'])

/**
 * Names of test files that don't depend on the broker, Redis or Node: they test documents, the package, the example, or
 * pages in a browser. `npm test` and `npm run test:faults` run them. Any other file, a new one too, runs on every platform.
 * A platform has no npm, so what starts it must be here.
 */
export const independentTests = [
  'asyncapi', 'client-size', 'docs', 'example', 'failure-log', 'github', 'package', 'platforms', 'react-19', 'readme', 'recipes', 'swagger'
]

/**
 * Lists the test files that run on every platform.
 * @param root the project's folder
 * @returns paths from there, in order
 */
export function platformTests (root: string): string[] {
  return readdirSync(join(root, 'test'), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(join(root, 'test'), join(entry.parentPath, entry.name)))
    .filter((path) => !otherFolders.has(path.split('/')[0]!) && !independentTests.includes(basename(path, '.ts')))
    .map((path) => join('test', path))
    .sort()
}
