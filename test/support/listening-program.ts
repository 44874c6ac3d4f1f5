import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { accepts } from '../../support/network.mjs'
import { eventually } from './eventually.js'
import { printOnFailure } from './failure-log.js'

/** Starts a program that listens on a port, and ends it after the test. */
export async function startListening (t: Test, command: string, args: string[], port: number): Promise<void> {
  // Its parent may be killed. Linux alone has setpriv.
  const [program, ...rest] = [...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL'] : []), command, ...args]
  const child = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  const onFailure = printOnFailure(t, command)
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => onFailure.write(text))
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await Promise.race([
    eventually(async () => await accepts(port), `${command} listens`),
    ended.then(() => { throw new Error(`${command} has ended`) })
  ])
}
