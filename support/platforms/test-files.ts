import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

/** Folders of `test` that contain no tests, or others than tap's. */
const otherFolders = new Set(['support', 'types', 'soak'])

/**
 * Test files that don't depend on the broker, Redis or Node: they test documents, the package, or pages in a browser.
 * `npm test` runs them once. Any other file, a new one too, runs on every platform.
 */
export const independentTests = [
  'alerts', 'asyncapi', 'client-browser', 'client-size', 'docs', 'example', 'package', 'page', 'platforms', 'readme', 'recipes', 'swagger'
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
    .filter((path) => !otherFolders.has(path.split('/')[0]!) && !independentTests.includes(path.replace(/\.ts$/, '')))
    .map((path) => join('test', path))
    .sort()
}
