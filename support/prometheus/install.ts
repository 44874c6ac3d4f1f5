import { dirname, join } from 'node:path'
import { findProgram, type FindProgramOptions } from '../find-program.js'

/** Thrown where there is no promtool, or no Prometheus, and none can be got. */
export class PromtoolUnavailableError extends Error {
  readonly code = 'PROMTOOL_UNAVAILABLE'
  override readonly name = 'PromtoolUnavailableError'
}

/** Finds the server itself, as {@link findPromtool} does. */
export async function findPrometheus (): Promise<string> {
  return join(dirname(await findPromtool()), 'prometheus') // the same package has both
}

/**
 * Finds the program that checks alert rules, and installs Debian's package of Prometheus where there is none, we may,
 * and we are root on Debian. Its service is not started.
 * @param options `install: false` forbids the installation; `log` is told of it; `path` is searched for it
 * @returns the command
 * @throws {PromtoolUnavailableError} where there is none
 */
export async function findPromtool ({ install = true, ...options }: Partial<FindProgramOptions> = {}): Promise<string> {
  const { command, failure } = await findProgram('promtool', 'prometheus', { install, ...options })
  if (command !== undefined) return command
  throw new PromtoolUnavailableError([
    'No promtool here. Install Prometheus, `apt-get install prometheus` on Debian and Ubuntu',
    '(done for you where you are root).',
    ...(failure === undefined ? [] : [failure.message])
  ].join('\n'), { cause: failure })
}
