import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { canInstallDebianPackages, installDebianPackage } from '../apt.js'
import type { Platform } from './platforms.js'

/** Thrown where a platform can't be had; the message says what is needed, or what failed. */
export class PlatformError extends Error {
  readonly code = 'PLATFORM_UNAVAILABLE'
  override readonly name = 'PlatformError'
}

const project = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Roots and Nodes are kept here, for the next run. Delete the folder to have them made again, with newer packages. */
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fastify-notification')

// What a run mounts and starts goes with it, and the run goes with this process, however that ends.
const isolated = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child']

/** What a platform was made of, and where it is. */
export interface Root { readonly folder: string, readonly node: string }

/**
 * Installs what is needed to make roots.
 * @throws {PlatformError} where that is not possible
 */
export async function assertPossible ({ isDebianRoot = canInstallDebianPackages() } = {}): Promise<void> {
  if (!isDebianRoot) throw new PlatformError('The platforms are made with debootstrap and chroot: run this as root on Debian or Ubuntu, with apt-get.')
  await installDebianPackage(['debootstrap', 'debian-archive-keyring'])
  await run('setpriv', [...isolated, 'true']).catch((cause: Error) => {
    throw new PlatformError(`The platforms need mount and process namespaces of their own, which are not allowed here: ${cause.message}`, { cause })
  })
}

/**
 * Makes a platform, or finds it where it was made before. Several processes wait for each other.
 * @throws {PlatformError} with the end of what was printed where it fails
 */
export async function makeRoot ({ debian, node }: Platform): Promise<Root> {
  const root = { folder: join(cache, debian), node: join(cache, `node${node}`, 'node_modules', `node-linux-${process.arch}`) }
  await mkdir(cache, { recursive: true })
  // The kernel releases the lock however its holder ends.
  await run('flock', [join(cache, `${debian}.lock`), 'setpriv', ...isolated, script('make-root.sh'), debian, root.folder, 'rabbitmq-server', 'redis-server'])
  const npm = ['npm', 'install', '--silent', '--no-save', '--prefer-offline', '--ignore-scripts', '--prefix', join(cache, `node${node}`), `node-linux-${process.arch}@${node}`]
  await run('flock', [join(cache, `node${node}.lock`), ...npm])
  return root
}

/**
 * Runs a command in a platform, in the project's folder.
 * @param onOutput is told what it prints, as it comes
 * @returns its exit code and what it printed on stdout
 */
export async function runInRoot ({ folder, node }: Root, command: string[], onOutput: (text: string) => void = () => {}): Promise<{ code: number, output: string }> {
  return await start('setpriv', [...isolated, script('in-root.sh'), folder, node, project, ...command], onOutput)
}

async function run (command: string, args: string[]): Promise<void> {
  const { code, output, errors } = await start(command, args, () => {})
  if (code !== 0) throw new PlatformError(`${[command, ...args].join(' ')} failed:\n${(output + errors).slice(-4_000).trim()}`)
}

async function start (
  command: string, args: string[], onOutput: (text: string) => void
): Promise<{ code: number, output: string, errors: string }> {
  // The loader of this process is not that of the command.
  const { NODE_OPTIONS, ...env } = process.env
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    onOutput(text)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000)
    onOutput(text)
  })
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', (cause) => reject(new PlatformError(`${command} could not be run: ${cause.message}`, { cause })))
    child.once('close', (code) => resolve(code ?? 1))
  })
  return { code, output, errors }
}
