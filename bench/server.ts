import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A contender's process, or several, and what they cost. */
export interface Server {
  /** `http://127.0.0.1:PORT`, of each process. */
  readonly urls: string[]
  /** The first of them. */
  readonly url: string
  /** Processor time so far, user and system, in microseconds. */
  cpu (): Promise<number>
  /** Resident memory after a garbage collection, in bytes. */
  memory (): Promise<number>
  /** Memory of JavaScript objects after a garbage collection, in bytes. */
  heap (): Promise<number>
  /** The ids of the processes. */
  readonly pids: number[]
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

  async function ask<T> (what: 'cpu' | 'memory' | 'heap'): Promise<T> {
    child.send(what)
    return (await Promise.race([once(child, 'message'), died]))[0] as T
  }

  const [line] = await Promise.race([once(child.stdout!, 'data'), died])
  const url = String(line).trim()
  return {
    urls: [url],
    url,
    async cpu () {
      const { user, system } = await ask<NodeJS.CpuUsage>('cpu')
      return user + system
    },
    memory: () => ask<number>('memory'),
    heap: () => ask<number>('heap'),
    pids: [child.pid!],
    async end () {
      child.send('end')
      await ended
    }
  }
}

/** Several processes as one: what they cost is what they cost together. */
export function together (servers: Server[]): Server {
  const sum = async (values: Array<Promise<number>>) => (await Promise.all(values)).reduce((a, b) => a + b)
  return {
    urls: servers.map(({ url }) => url),
    url: servers[0]!.url,
    cpu: () => sum(servers.map(server => server.cpu())),
    memory: () => sum(servers.map(server => server.memory())),
    heap: () => sum(servers.map(server => server.heap())),
    pids: servers.flatMap(({ pids }) => pids),
    async end () {
      await Promise.all(servers.map(server => server.end()))
    }
  }
}
