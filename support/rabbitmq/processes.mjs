import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Kills every process whose environment says `PRIVATE_RABBITMQ=<folder>`: a node, its epmd, and all
 * they started. The mark is inherited, so that it also finds those that left the tree of processes.
 * @param {string} folder
 * @returns {Promise<void>} once none is left
 * @throws where one can't be killed within ten seconds
 */
export async function killMarked (folder) {
  const deadline = Date.now() + 10_000
  // The environment reads as empty for the instant in which a process executes its program, so one
  // look that finds nothing isn't enough.
  for (let clear = 0; clear < 2;) {
    const pids = await marked(folder)
    clear = pids.length === 0 ? clear + 1 : 0
    for (const pid of pids) kill(pid)
    if (pids.length > 0 && Date.now() > deadline) throw new Error(`processes ${pids.join(', ')} can't be killed`)
    if (clear < 2) await delay(10)
  }
}

async function marked (folder) {
  const mark = `PRIVATE_RABBITMQ=${folder}`
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')))
  return pids.filter((_, index) => environments[index].split('\0').includes(mark)).map(Number)
}

function kill (pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}
