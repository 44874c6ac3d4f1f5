import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { canInstallDebianPackages, installDebianPackage } from './apt.js'

/** Where a program may come from. */
export interface FindProgramOptions {
  /** Whether it may be installed. */
  install: boolean
  /** Told of the installation. */
  log?: ((line: string) => void) | undefined
  /** Folders, as in `PATH`, its default. */
  path?: string | undefined
}

/**
 * Finds a program, and installs its package where there is none, we may, and we are root on Debian.
 * @param name of its file
 * @param debianPackage that has it
 * @returns its file; undefined where there is none, with what the installation failed of, if that was tried
 */
export async function findProgram (
  name: string, debianPackage: string, { install, log, path = process.env.PATH ?? '' }: FindProgramOptions
): Promise<{ command: string | undefined, failure?: Error }> {
  const command = inPath(name, path)
  if (command !== undefined || !install || !canInstallDebianPackages()) return { command }
  try {
    await installDebianPackage([debianPackage], { log })
  } catch (error) {
    return { command: undefined, failure: error as Error }
  }
  return { command: inPath(name, path) }
}

function inPath (name: string, path: string): string | undefined {
  return path.split(delimiter).filter((folder) => folder !== '').map((folder) => join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
