import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What can be done with every private server. It goes when the process that started it goes, whichever way. */
export interface PrivateServer extends AsyncDisposable {
  /** On 127.0.0.1, the same for the server's whole life. */
  readonly port: number
  /**
   * Starts the server again, with the same data and port, after `stop()`, `kill()` or its own end.
   * @returns once it answers connections; at once if it runs
   * @throws the server's error, with the end of its log where it doesn't start, or is killed or removed meanwhile
   */
  start (): Promise<void>
  /**
   * Stops the server in order and keeps its data.
   * @returns once it is gone
   * @throws the server's error where it takes more than 30 s
   */
  stop (): Promise<void>
  /**
   * Kills the server (SIGKILL), frozen or starting too, and keeps its data.
   * @returns once it is gone
   * @throws the server's error where the supervisor is gone
   */
  kill (): Promise<void>
  /**
   * Halts the server's process (SIGSTOP): its connections stay open and fall silent.
   * @returns once it is told
   * @throws the server's error where it doesn't run
   */
  freeze (): Promise<void>
  /**
   * Lets a frozen server go on (SIGCONT).
   * @returns once it is told
   * @throws the server's error where it doesn't run
   */
  resume (): Promise<void>
  /**
   * Kills the server and everything that belongs to it, and deletes its folder. May be called again.
   * @returns once nothing is left
   * @throws the server's error where something can't be removed
   */
  remove (): Promise<void>
}

/** What a supervisor needs to know. */
export interface SupervisedOptions {
  /** Which server it is; one of those in supervisor.mjs. */
  kind: 'rabbitmq-installed' | 'rabbitmq-docker' | 'epmd' | 'redis'
  /** Its name in errors. */
  name: string
  /** What the server is created with. */
  options: object
  /** How its errors are made. */
  PrivateError: new (message: string) => Error
}

/** A private server, and `request` for what only one kind can do. */
export interface Supervised {
  readonly server: PrivateServer
  request (command: string, argument?: unknown): Promise<unknown>
}

interface Answer { id: number, value?: unknown, error?: string }

/**
 * Starts a private server beside a supervisor, which removes it when this process is gone. The event loop stays
 * alive until `remove()`.
 * @param supervised which server, and how
 * @returns the server, once it answers connections
 * @throws the server's error where it doesn't start
 */
export async function startSupervised ({ kind, name, options, PrivateError }: SupervisedOptions): Promise<Supervised> {
  const { request, remove } = startSupervisor(name, PrivateError)
  let port: number
  try {
    port = await request('create', { kind, options }) as number
  } catch (error) {
    await remove()
    throw error
  }
  const server: PrivateServer = {
    port,
    async start () { await request('start') },
    async stop () { await request('stop') },
    async kill () { await request('kill') },
    async freeze () { await request('freeze') },
    async resume () { await request('resume') },
    remove,
    [Symbol.asyncDispose]: remove
  }
  return { server, request }
}

function startSupervisor (name: string, PrivateError: SupervisedOptions['PrivateError']) {
  // The test runner's and the TypeScript loader's settings are for this process only.
  const { NODE_OPTIONS, NODE_V8_COVERAGE, ...env } = process.env
  const child = spawn(process.execPath, [fileURLToPath(new URL('./supervisor.mjs', import.meta.url))], {
    detached: true, // a session of its own: the terminal's Ctrl-C is for us, who then tell it
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env
  })
  const gone = once(child, 'exit').catch(() => {}) // a failed spawn is told to the requests
  const pending = new Map<number, { resolve (value: unknown): void, reject (error: Error): void }>()
  let lastId = 0
  let removal: Promise<void> | undefined

  const failAll = (reason: string) => {
    for (const { reject } of pending.values()) reject(new PrivateError(reason))
    pending.clear()
  }
  child.on('message', ({ id, value, error }: Answer) => {
    const request = pending.get(id)
    pending.delete(id)
    if (error === undefined) request?.resolve(value)
    else request?.reject(new PrivateError(error))
  })
  child.on('error', (error) => failAll(`the supervisor of ${name} failed: ${error.message}`))
  child.on('exit', () => failAll(`the supervisor of ${name} is gone`))

  async function request (command: string, argument?: unknown): Promise<unknown> {
    if (!child.connected) throw new PrivateError('the server was removed')
    return await new Promise((resolve, reject) => {
      const id = ++lastId
      pending.set(id, { resolve, reject })
      child.send({ id, command, argument }, (error) => {
        if (!error || !pending.delete(id)) return
        reject(new PrivateError(`the supervisor of ${name} can't be told: ${error.message}`))
      })
    })
  }

  async function removeOnce (): Promise<void> {
    try {
      if (child.connected) await request('remove')
    } finally {
      if (child.connected) child.disconnect()
      await gone
    }
  }

  return { request, remove: () => (removal ??= removeOnce()) }
}
