import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A contender's process, and what it costs. */
export interface Server {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  /** Processor time so far, user and system, in microseconds. */
  cpu (): Promise<number>
  /** Resident memory after a garbage collection, in bytes. */
  memory (): Promise<number>
  end (): Promise<void>
}

/**
 * Starts a contender in a process of its own.
 * @param name its file in `contenders/`
 * @param env what it is told
 * @param profile a folder for a profile of its processor time
 * @returns when it listens
 */
export async function startServer (name: string, env: Record<string, string>, profile?: string): Promise<Server> {
  const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const { NODE_OPTIONS, ...inherited } = process.env // the loader's, for this process only
  const profiling = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile, '--cpu-prof-name', `${name}-${process.hrtime.bigint()}.cpuprofile`]
  const child = spawn(process.execPath, [...profiling, '--expose-gc', '--import', file('probe.js'), file(`contenders/${name}.js`)], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { ...inherited, ...env, NODE_ENV: 'production' }
  })
  const ended = once(child, 'exit')
  const died = ended.then(([code, signal]) => { throw new Error(`${name} ended with ${signal ?? code}`) })
  died.catch(() => {})

  async function ask<T> (what: 'cpu' | 'memory'): Promise<T> {
    child.send(what)
    return (await Promise.race([once(child, 'message'), died]))[0] as T
  }

  const [line] = await Promise.race([once(child.stdout!, 'data'), died])
  return {
    url: String(line).trim(),
    async cpu () {
      const { user, system } = await ask<NodeJS.CpuUsage>('cpu')
      return user + system
    },
    memory: () => ask<number>('memory'),
    async end () {
      child.send('end')
      await ended
    }
  }
}
