import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/**
 * Finds a program.
 * @param name of its file
 * @param path folders, as in `PATH`
 * @returns its file; undefined where there is none that may be run
 */
export function inPath (name: string, path: string): string | undefined {
  return path.split(delimiter).filter((folder) => folder !== '').map((folder) => join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
