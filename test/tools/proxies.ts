// The proxies of docs/recipes.md, with the configuration that stands there.
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify from 'fastify'
import { test, type Test } from 'tap'
import { createServer } from 'vite'
import { WebSocket, type ClientOptions } from 'ws'
import notificationPlugin from '../../src/index.js'
import { findProxy } from '../../support/find-proxy.js'
import { freePorts } from '../../support/network.mjs'
import { createLog, type TestLog } from '../support/app.js'
import { createAuthority } from '../../support/certificates.js'
import { connectClient, refusal } from '../support/client.js'
import { startListening } from '../support/listening-program.js'
import { createClient, next } from '../support/notification-client.js'

const recipe = (await readFile(new URL('../../docs/recipes.md', import.meta.url), 'utf8')).split('\n## Behind a proxy\n')[1]!.split('\n## ')[0]!
const configOf = (language: string) => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(recipe)![1]!
const trustProxy = /trustProxy: '(.*?)'/.exec(recipe)![1]!

/** Replaces what must be there. */
function replace (text: string, replacements: Record<string, string>): string {
  return Object.entries(replacements).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`the recipe has no '${from}'`)
    return result.replace(from, to)
  }, text)
}

interface Proxy {
  /** The origin of the pages that it serves. */
  readonly origin: string
  /** What a client needs to trust its certificate. */
  readonly trust: ClientOptions
}

interface ProxyKind {
  /** Starts the proxy in front of an application, with another time-out if one is given, in seconds. */
  start (t: Test, application: string, timeout?: number): Promise<Proxy>
}

/** A certificate for localhost. */
function createCertificate (t: Test): { ca: string, cert: string, key: string } {
  const { ca, sign } = createAuthority(t.testdir())
  return { ca, ...sign('localhost', ['DNS:localhost', 'IP:127.0.0.1']) }
}

const nginx: ProxyKind = {
  async start (t, application, timeout) {
    const { ca, cert, key } = createCertificate(t)
    const folder = t.testdir({ 'app.pem': cert, 'app.key': key })
    const [port] = await freePorts(1)
    const config = replace(configOf('nginx'), {
      '127.0.0.1:8080': application,
      'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
      'app.example.com': 'localhost',
      '/etc/ssl/app.pem': join(folder, 'app.pem'),
      '/etc/ssl/app.key': join(folder, 'app.key'),
      ...(timeout && { 'proxy_read_timeout 60s': `proxy_read_timeout ${timeout}s` })
    })
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${join(folder, name)};`).join('\n')
    // One process, which can be ended as a whole.
    await writeFile(join(folder, 'nginx.conf'), `
      daemon off; master_process off; pid ${join(folder, 'pid')}; error_log stderr; events {}
      http { access_log off; ${temporary} ${config} }`)
    await startListening(t, await findProxy('nginx'), ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], port!)
    return { origin: `https://localhost:${port}`, trust: { ca } }
  }
}

const haproxy: ProxyKind = {
  async start (t, application, timeout) {
    const { ca, cert, key } = createCertificate(t)
    const [port] = await freePorts(1)
    const folder = t.testdir({ 'app.pem': cert + key })
    await writeFile(join(folder, 'haproxy.cfg'), replace(configOf('haproxy'), {
      '127.0.0.1:8080': application,
      'bind :443': `bind 127.0.0.1:${port}`,
      '/etc/ssl/app.pem': join(folder, 'app.pem'),
      ...(timeout && { 'timeout tunnel 60s': `timeout tunnel ${timeout}s` })
    }))
    await startListening(t, await findProxy('haproxy'), ['-db', '-f', join(folder, 'haproxy.cfg')], port!)
    return { origin: `https://localhost:${port}`, trust: { ca } }
  }
}

const vite: ProxyKind = {
  async start (t, application) {
    const [port] = await freePorts(1)
    const folder = t.testdir({
      'index.html': '<!doctype html><title>page</title>',
      'package.json': '{ "type": "module" }',
      'vite.config.js': replace(configOf('js'), { 'http://localhost:8080': `http://${application}` })
    })
    const server = await createServer({ root: folder, configFile: join(folder, 'vite.config.js'), logLevel: 'silent', server: { port: port!, host: '127.0.0.1' } })
    t.teardown(() => server.close())
    await server.listen()
    return { origin: `http://127.0.0.1:${port}`, trust: {} }
  }
}

/** Starts an application as the recipe says, and a proxy in front of it. */
async function startBehind (t: Test, { start }: ProxyKind, { timeout, interval = 1_000 }: { timeout?: number, interval?: number } = {}): Promise<Proxy & { url: string, log: TestLog, notify (content: string): Promise<{ outcome: string }> }> {
  const log = createLog(t)
  const app = Fastify({ trustProxy, logger: { level: 'debug', stream: log.stream } })
  t.teardown(() => app.close())
  await app.register(notificationPlugin, { settle: 'acknowledged', heartbeat: { interval, timeout: 0.9 * interval } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const proxy = await start(t, `127.0.0.1:${(app.server.address() as AddressInfo).port}`, timeout)
  return { ...proxy, log, url: `${proxy.origin.replace('http', 'ws')}/notification?userId=123`, notify: async content => await app.notifier.notify('123', content) }
}

for (const [name, kind] of Object.entries({ nginx, HAProxy: haproxy, 'the development server of Vite': vite })) {
  test(`behind ${name}: a client gets its notifications and acknowledges them; a page of another origin is refused`, async t => {
    const { url, origin, trust, notify } = await startBehind(t, kind)
    const client = createClient(t, url, {
      WebSocket: class extends WebSocket {
        constructor (address: string, protocols: string[]) { super(address, protocols, { ...trust, origin }) }
      }
    })
    const { type } = await Promise.race([next(client, 'open'), next(client, 'close')])
    t.equal(type, 'open')
    if (type === 'close') return
    const received = next(client, 'notification')
    client.addEventListener('notification', () => {})
    t.match(await notify('hello world'), { outcome: 'acknowledged' })
    t.equal((await received).content, 'hello world')

    for (const other of ['https://evil.example', `${origin}0`]) t.equal((await refusal(url, { ...trust, origin: other })).statusCode, 403, other)
  })
}

for (const [name, kind] of Object.entries({ nginx, HAProxy: haproxy })) {
  test(`behind ${name}: the log has the address of the client, whatever the client says that it is`, async t => {
    const { url, trust, log } = await startBehind(t, kind)
    const client = await connectClient(t, url, { ...trust, localAddress: '127.0.0.2', headers: { 'x-forwarded-for': '198.51.100.1' } })
    t.match(await log.line('client connected'), { userId: '123', remoteAddress: '127.0.0.2' })
    await client.close()
  })

  test(`behind ${name}: a connection that is idle for longer than its time-out stays open by the heartbeat, and would not without`, async t => {
    const timeout = 4
    const { url, trust, notify } = await startBehind(t, kind, { timeout, interval: 1_000 })
    const quiet = await startBehind(t, kind, { timeout, interval: 600_000 })
    const client = await connectClient(t, url, trust)
    const lost = await connectClient(t, quiet.url, quiet.trust)
    for (let pings = 0; pings < 2 * timeout; pings++) await once(client.socket, 'ping')
    t.equal(client.socket.readyState, client.socket.OPEN)
    t.match(await notify('still here'), { outcome: 'sent' })
    t.equal((await lost.closed).code, 1006, 'the proxy has closed it')
  })
}
