import { execFile } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { launch, logTail, terminate } from './child.mjs'
import { killMarked, markOf } from './processes.mjs'

const startTimeout = 60_000 // many times what a busy machine needs
const stopTimeout = 30_000

/**
 * A process of a server.
 * @typedef {object} Step
 * @property {string} label what it is, for errors
 * @property {string} command
 * @property {string[]} args
 * @property {() => Promise<boolean>} answers whether it serves
 */

/**
 * What a server runs, and on which port it answers.
 * @typedef {object} Plan
 * @property {number} port
 * @property {NodeJS.ProcessEnv} env
 * @property {Step[]} steps started one after the other, each when the one before it answers; the last is the server
 */

/**
 * A server of this machine, in a temporary folder of its own. Nothing runs before `start()`. The caller sees to it
 * that only one of `start()` and `stop()` runs at a time; `kill()` may interrupt them.
 * @param {string} name in errors and of the folder
 * @param {(folder: string) => Promise<Plan>} prepare writes what the server needs into its folder, and picks its ports:
 *   once, or again where somebody else took one of them before its first start
 */
export function createServer (name, prepare) {
  // Synchronously, so that there is no moment at which the folder exists and nobody knows of it.
  const folder = mkdtempSync(join(tmpdir(), `private-${name.toLowerCase()}-`))
  const logFile = join(folder, 'server.log')
  let plan
  let running
  let kills = 0

  const where = () => ({ cwd: folder, env: { ...plan.env, ...markOf(folder) } })

  async function start () {
    if (running && !running.exited) return
    const killsBefore = kills
    for (let attempt = 1; ; attempt++) {
      const fresh = plan === undefined
      plan ??= await prepare(folder)
      try {
        return await boot(killsBefore)
      } catch (error) {
        await killMarked(folder)
        // Somebody else took a port in the moment between its choice and its use.
        if (!fresh || attempt === 3 || !/eaddrinuse|address already in use/i.test(error.message)) throw error
        plan = undefined
      }
    }
  }

  async function boot (killsBefore) {
    await killMarked(folder) // what a server leaves that ended by itself
    const log = await open(logFile, 'w')
    try {
      for (const step of plan.steps) await take(step, log, killsBefore)
    } catch (error) {
      throw new Error(`${error.message}. Its log ends with:\n${await logTail(logFile)}`, { cause: error })
    } finally {
      await log.close()
    }
  }

  async function take (step, log, killsBefore) {
    const goOn = (child) => {
      if (kills !== killsBefore) throw new Error(`${name} was killed while it started`)
      if (child?.exited) throw new Error(`${step.label} ended while ${name} started`)
    }
    goOn()
    const child = launch(step.label, step.command, step.args, { ...where(), log })
    if (step === plan.steps.at(-1)) running = child
    const deadline = Date.now() + startTimeout
    while (!await step.answers()) {
      goOn(child)
      if (Date.now() > deadline) throw new Error(`${name} did not answer within ${startTimeout / 1_000} s`)
      await delay(20)
    }
    goOn(child) // who answered may be somebody else, who took the port before
  }

  function signal (signalName) {
    if (!running || running.exited) throw new Error(`${name} is not running`)
    running.process.kill(signalName)
  }

  async function stop () {
    if (!running || running.exited) return
    if (!await terminate(running, stopTimeout)) {
      throw new Error(`${name} did not stop within ${stopTimeout / 1_000} s. Its log ends with:\n${await logTail(logFile)}`)
    }
    await killMarked(folder)
  }

  async function kill () {
    kills++
    running?.process.kill('SIGKILL')
    await killMarked(folder)
    await running?.exit
  }

  return {
    get port () { return plan?.port },
    start,
    stop,
    kill,
    freeze: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    /**
     * Runs a command in the server's folder and environment, killed with it.
     * @param {string} command
     * @param {string[]} args
     * @returns {Promise<string>} what it printed
     */
    async run (command, args) {
      if (plan === undefined) throw new Error(`${name} was never started`)
      const limits = { timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 }
      const { stdout } = await promisify(execFile)(command, args, { ...where(), ...limits })
      return stdout
    },
    async destroy () {
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}
