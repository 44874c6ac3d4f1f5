import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

/** What `tap` prints of a file, as it would outside of this test. */
async function outputOf (file: string): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(_?TAP|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name)))
  // What the runner adds to the environment of every process comes after ours, so `env` takes it out again.
  const args = ['-u', 'NODE_OPTIONS', '-u', 'NODE_V8_COVERAGE', process.execPath, '--import', 'tsx', file]
  return await new Promise(resolve => {
    execFile('env', args, { cwd: fileURLToPath(new URL('../..', import.meta.url)), env, maxBuffer: 2 ** 24 }, (_error, stdout) => resolve(stdout))
  })
}

test('a failing test prints the end of the log of each application that it ran, and a passing one prints none', async t => {
  const output = await outputOf('test/fixture/failing.ts')
  t.match(output, '\n# { total: 5, pass: 1, fail: 4 }', 'the right ones failed')
  t.notMatch(output, 'not printed')
  t.match(output, '# the log of the application, without its first 50 lines:')
  t.match(output, /# \{.*"msg":"line 250\."/)
  t.notMatch(output, '"line 50."')
  t.match(output, /# \{.*"msg":"long x{1000,1999} …\n/, 'a long line is cut')
  t.match(output, /# the log of test\/fixture\/talking\.ts, process \d+:\n/)
  for (const line of ['said on stdout', 'said on stderr']) t.match(output, `# ${line}\n`)
  t.match(output, '# the application has logged nothing\n')
})
