import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * What the environment of a private server has more, so that it and all it starts can be found.
 * @param {string} folder of the server
 */
export function markOf (folder) {
  return { PRIVATE_SERVER: folder }
}

/**
 * Kills every process that runs in a folder or whose environment has its mark: a server, and all it started.
 * Both are inherited, so that it also finds those that left the tree of processes.
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
  const [mark] = Object.entries(markOf(folder)).map((pair) => pair.join('='))
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async (pid) => {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    // Redis writes its title over its environment.
    return environment.split('\0').includes(mark) || await readlink(`/proc/${pid}/cwd`).catch(() => '') === folder
  }))
  return pids.filter((_, index) => found[index]).map(Number)
}

function kill (pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}
