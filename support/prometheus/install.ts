import { findProgram, type FindProgramOptions } from '../find-program.js'

/** Thrown where there is no promtool and none can be got. */
export class PromtoolUnavailableError extends Error {
  readonly code = 'PROMTOOL_UNAVAILABLE'
  override readonly name = 'PromtoolUnavailableError'
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
