import { readdir, readlink } from 'node:fs/promises'

/** The processes that run in a folder, or below it. */
export async function processesIn (folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const folders = await Promise.all(pids.map(pid => readlink(`/proc/${pid}/cwd`).catch(() => '')))
  return pids.filter((_, index) => folders[index]!.startsWith(folder))
}
