import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { printOnFailure } from './failure-log.js'

/** Ends a program when the test's process ends, however that does. */
const goWithTest = "data:text/javascript,process.on('disconnect',()=>process.kill(process.pid,'SIGKILL'));process.channel.unref()"

/**
 * Starts a TypeScript program beside the test, as a user would; it is killed after the test at the latest. What it
 * prints is printed if the test fails.
 * @param path of the program, from the project's root
 * @param env what its environment has more
 * @param nodeOptions options of Node
 * @param openFiles how many files it may open; undefined for as many as the test
 */
export function startProgram (t: Test, path: string, args: string[] = [], env: NodeJS.ProcessEnv = {}, nodeOptions: readonly string[] = [], openFiles?: number): ChildProcess {
  const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles} && `
  // Not in the coverage of the tests, which another loader compiles, to other lines. What the test runner adds to the
  // environment of every process comes after ours, so `env` takes it out again.
  const child = spawn('sh', [
    '-c', `${limit}exec "$@"`, 'sh', 'env', '-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE', process.execPath, ...nodeOptions, '--import', goWithTest, '--import', 'tsx', path, ...args
  ], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...env }
  })
  const onFailure = printOnFailure(t, `${[path, ...args].join(' ')}, process ${child.pid}`)
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding('utf8').on('data', (text: string) => onFailure.write(text))
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return child
}
