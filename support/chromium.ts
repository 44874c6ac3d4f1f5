import { existsSync } from 'node:fs'
import { chromium, type Browser, type LaunchOptions } from 'playwright-core'
import { canInstallDebianPackages, installDebianPackage } from './apt.js'

const candidates = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
]

/** Thrown where there is no browser and none can be installed. */
export class ChromiumUnavailableError extends Error {
  readonly code = 'CHROMIUM_UNAVAILABLE'
  override readonly name = 'ChromiumUnavailableError'
}

/**
 * Finds a Chromium or Chrome: `CHROMIUM_PATH`, else an installed one, else Debian's package, which is
 * installed where we are root on Debian.
 * @param options `log` is told of an installation
 * @returns the path of the executable
 * @throws {ChromiumUnavailableError} where there is none and none can be installed
 */
export async function chromiumPath ({ log }: { log?: (line: string) => void } = {}): Promise<string> {
  const given = process.env['CHROMIUM_PATH']
  if (given) {
    if (existsSync(given)) return given
    throw new ChromiumUnavailableError(`CHROMIUM_PATH says ${given}, where there is no file`)
  }

  const installed = candidates.find((path) => existsSync(path))
  if (installed) return installed

  if (canInstallDebianPackages()) {
    try {
      await installDebianPackage(['chromium'], { log })
    } catch (cause) {
      throw new ChromiumUnavailableError(`Chromium could not be installed: ${(cause as Error).message}`, { cause })
    }
    if (existsSync('/usr/bin/chromium')) return '/usr/bin/chromium'
  }
  throw new ChromiumUnavailableError('No Chromium here: install Chromium or Chrome, or name its executable in CHROMIUM_PATH')
}

/**
 * Starts one without a window.
 * @param options further ones of Playwright
 * @throws {ChromiumUnavailableError}
 */
export async function launchChromium (options: LaunchOptions = {}): Promise<Browser> {
  return await chromium.launch({
    ...options,
    executablePath: await chromiumPath(),
    args: [
      '--no-sandbox', // Chromium doesn't run as root with its sandbox
      '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'
    ]
  })
}
