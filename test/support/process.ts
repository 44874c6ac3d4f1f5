import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/**
 * Starts a TypeScript program beside the test, which is killed after it.
 * @param path of the program, from the project's root
 * @param env what its environment has beside PATH and HOME
 */
export function startProgram (t: Test, path: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
  const { PATH, HOME } = process.env
  const settings = Object.entries({ PATH, HOME, ...env }).map(([name, value]) => `${name}=${value}`)
  // Without the test runner's environment: its coverage would mix with that of the tests, which another loader compiles.
  const child = spawn('env', ['-i', ...settings, process.execPath, '--import', 'tsx', path, ...args], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  return child
}
