import { test } from 'tap'
import type { NotificationPluginOptions } from '../../src/index.js'
import { startApp } from '../support/app.js'
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
