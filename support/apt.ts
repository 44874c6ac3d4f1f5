import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Thrown where apt-get could not install a package; the message ends with apt-get's last lines. */
export class DebianPackageError extends Error {
  readonly code = 'DEBIAN_PACKAGE_FAILED'
  override readonly name = 'DebianPackageError'
}

// The lock is the kernel's, so that it is released however its holder dies, and a test process that
// waited for it finds the package installed. A package that brings a service starts it on installation
// unless policy-rc.d says 101; an existing policy is somebody else's, one with our mark is what a
// killed installation left.
const script = `
missing=0
for name in "$@"; do
  dpkg-query --show --showformat='\${db:Status-Status}\\n' "$name" 2>/dev/null | grep -qx installed || missing=1
done
[ $missing = 1 ] || exit 0
policy=/usr/sbin/policy-rc.d
mark='# temporary, while packages for fastify-notification are installed'
if [ ! -e $policy ] || grep -qxF "$mark" $policy; then
  trap 'rm -f $policy' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > $policy
  chmod 755 $policy
fi
apt-get -o DPkg::Lock::Timeout=300 -qq update
apt-get -o DPkg::Lock::Timeout=300 -qq install --yes --no-install-recommends "$@"
`

/**
 * Says whether `installDebianPackage` has a chance here.
 * @returns true for root on Debian, Ubuntu and their like
 */
export function canInstallDebianPackages (): boolean {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get')
}

/**
 * Installs Debian packages that are missing, without starting their services. Callers in several
 * processes wait for each other.
 * @param names names of packages
 * @param options `log` is told before the installation starts
 * @returns once all are installed
 * @throws {DebianPackageError} where apt-get fails
 */
export async function installDebianPackage (
  names: string[],
  { log }: { log?: ((line: string) => void) | undefined } = {}
): Promise<void> {
  log?.(`installing ${names.join(', ')} with apt-get; this may take a minute`)

  const apt = spawn('flock', ['/run/lock/fastify-notification-apt.lock', 'sh', '-euc', script, 'sh', ...names], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  })
  let output = ''
  for (const stream of [apt.stdout, apt.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => { output = (output + text).slice(-4_000) })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    apt.once('error', (error) => reject(new DebianPackageError(`apt-get could not be run: ${error.message}`, { cause: error })))
    apt.once('close', resolve)
  })
  if (code !== 0) {
    throw new DebianPackageError(`apt-get could not install ${names.join(', ')}:\n${output.trim()}`)
  }
}
