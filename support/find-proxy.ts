import { findProgram, type FindProgramOptions } from './find-program.js'

/** Thrown where a proxy is missing and can't be had. */
export class ProxyUnavailableError extends Error {
  readonly code = 'PROXY_UNAVAILABLE'
  override readonly name = 'ProxyUnavailableError'
}

/**
 * Finds a proxy, and installs its Debian package where there is none, we may, and we are root on Debian. Its service is
 * not started.
 * @param options `install: false` forbids the installation; `log` is told of it; `path` is searched for it
 * @returns the command
 * @throws {ProxyUnavailableError} where there is none
 */
export async function findProxy (
  name: 'nginx' | 'haproxy',
  { install = true, path = `${process.env.PATH ?? ''}:/usr/sbin`, ...options }: Partial<FindProgramOptions> = {}
): Promise<string> {
  const { command, failure } = await findProgram(name, name, { install, path, ...options })
  if (command !== undefined) return command
  throw new ProxyUnavailableError([
    `No ${name} here. Install the package, \`apt-get install ${name}\` on Debian and Ubuntu`,
    '(done for you where you are root).',
    ...(failure === undefined ? [] : [failure.message])
  ].join('\n'), { cause: failure })
}
