import { test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import { startApp, type TestLog } from '../support/app.js'
import { connectClient, refusal } from '../support/client.js'

async function statusOf (t: Parameters<typeof connectClient>[0], url: string, origin?: string): Promise<number> {
  const options = origin === undefined ? {} : { headers: { origin } }
  return await Promise.any([
    refusal(url, options).then(({ statusCode, body }) => {
      if (statusCode === 403) t.equal(JSON.parse(body).code, 'FST_NOTIFICATION_FORBIDDEN_ORIGIN')
      return statusCode
    }),
    connectClient(t, url, options).then(() => 101)
  ])
}

test('fault 27: by default the pages of the same host may connect, and clients that are no pages', async t => {
  const { notifications } = await startApp(t, {})
  const url = notifications('123')
  const { host } = new URL(url)
  t.equal(await statusOf(t, url), 101, 'no Origin')
  t.equal(await statusOf(t, url, `http://${host}`), 101)
  t.equal(await statusOf(t, url, `https://${host}`), 101, 'behind a proxy that ends TLS')
  for (const origin of ['http://127.0.0.1', `http://${host}.attacker.net`, `http://attacker.net/${host}`, `http://${host}@attacker.net`, 'null', 'http://', '', `http://${host}1`, `http://${host}/`]) {
    t.equal(await statusOf(t, url, origin), 403, origin)
  }
})

const cases: Array<[NonNullable<NotificationPluginOptions['allowedOrigins']>, allowed: string[], forbidden: string[]]> = [
  [['https://Example.com:443'], ['https://example.com', 'https://EXAMPLE.com:443'], ['http://example.com', 'https://example.com.attacker.net', 'https://a.example.com', 'https://example.com:444', 'null']],
  [[/https:\/\/(\w+\.)?example\.com/g], ['https://example.com', 'https://a.example.com'], ['https://example.com.attacker.net', 'xhttps://example.com', 'https://example.com:8443']],
  [['null'], ['null'], ['file://', 'https://null', 'https://example.com']],
  [['file://'], ['file://'], ['null', 'file://host', 'https://file']],
  [[/.*/], ['https://example.com'], ['null', 'file://']],
  [origin => origin === 'null', ['null'], ['https://example.com']],
  [(async () => 'yes') as unknown as () => boolean, [], ['https://example.com']],
  ['*', ['https://example.com', 'null'], []],
  [[], [], ['https://example.com']]
]

for (const [allowedOrigins, allowed, forbidden] of cases) {
  test(`allowedOrigins: ${String(allowedOrigins) || 'none'}`, async t => {
    const { notifications } = await startApp(t, { allowedOrigins })
    t.equal(await statusOf(t, notifications('123')), 101, 'no Origin')
    for (const origin of allowed) t.equal(await statusOf(t, notifications('123'), origin), 101, origin)
    for (const origin of forbidden) t.equal(await statusOf(t, notifications('123'), origin), 403, origin)
  })
}

const refusedStatus = async (url: string, origin: string) => (await refusal(url, { headers: { origin } })).statusCode
const refusedOrigins = ({ lines }: TestLog) => lines.filter(({ msg }) => msg === 'origin refused')

test('a refused origin is logged with what it was compared with', async t => {
  const cases: Array<[NotificationPluginOptions['allowedOrigins'], allowed: RegExp]> = [
    [undefined, /^pages of the host 127\.0\.0\.1:\d+$/],
    [['https://a.example', /https:\/\/b\.example/], /^https:\/\/a\.example, \/https/],
    [() => false, /^a function$/]
  ]
  for (const [allowedOrigins, allowed] of cases) {
    const { notifications, log } = await startApp(t, allowedOrigins === undefined ? {} : { allowedOrigins })
    t.equal(await refusedStatus(notifications('123'), 'https://Example.com:443'), 403)
    const [line, ...more] = refusedOrigins(log)
    t.match(line, { level: 30, origin: 'https://example.com', option: 'allowedOrigins' })
    t.match((line!.allowed as string[]).join(', '), allowed)
    t.same(more, [])
  }
})

test('what is no origin is not logged as it came, and nobody can flood the log', async t => {
  const { notifications, log } = await startApp(t, { allowedOrigins: ['https://example.com'] })
  const secret = ['https://user:hush@example.com', 'https://example.com/hush?hush', 'hush hush', 'x'.repeat(1_000)]
  for (const origin of secret) t.equal(await refusedStatus(notifications('123'), origin), 403, origin)
  t.same(refusedOrigins(log).map(({ origin }) => origin), [
    'https://example.com with something before or after it', 'https://example.com with something before or after it', 'not an origin', 'x'.repeat(200)
  ])
  for (let n = 0; n < 100; n++) await refusedStatus(notifications('123'), `https://${n}.example`)
  const count = refusedOrigins(log).length
  t.ok(count >= 10 && count < 100, `${count} lines`)
})

test('a pattern that no origin can match is told at start, with the reason; others are not', async t => {
  const { log } = await startApp(t, { allowedOrigins: ['https://example.com', /https:\/\/.*\.example\.com\//, /https:\/\/.*\.example\.com/] })
  const warnings = log.lines.filter(({ msg }) => msg.startsWith('no origin can match a pattern'))
  t.match(warnings, [{ level: 40, pattern: '/https:\\/\\/.*\\.example\\.com\\//', why: /no path, and no slash at its end/, option: 'allowedOrigins' }])
  t.equal(warnings.length, 1)
})
