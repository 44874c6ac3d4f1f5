import { inspect } from 'node:util'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../src/index.js'
import { loginOf } from '../src/rabbitmq/amqplib.js'
import { parseOptions } from '../src/options/parse.js'
import { redactUrl } from '../src/options/redact-url.js'
import { freePorts } from '../support/network.mjs'
import { createApp } from './support/app.js'
import { useBroker } from './support/broker.js'
import { createRandom, type Random } from './support/random.js'

/** What has a meaning in a URL, or for one of the parsers of URLs. */
const SPECIAL = ['/', '#', '?', '@', '[', ']', '%', ':', '\\', '//', '://', '@@', '%4', '%zz', '%ff', '&', '=', ';', '+', '\t', '\n', '"', '<', '^', '`', '{', '|', '}', 'ä', '€']
/** What is in no message of ours. */
const PLAIN = ['Q', 'X', 'Z', 'J', 'K', 'W', '6', '7', '8', '9']

function randomPassword (random: Random): string {
  return Array.from({ length: random.between(4, 16) }, () => random.oneOf(random.between(0, 2) === 0 ? SPECIAL : PLAIN)).join('')
}

/** Every piece of four characters and more of a password, as it is and as it stands in a URL. */
function piecesOf (password: string): string[] {
  const forms = [password, encodeURIComponent(password), encodeURI(password)]
  return forms.flatMap(form => Array.from({ length: Math.max(0, form.length - 3) }, (_, n) => form.slice(n, n + 4)))
}

/**
 * Everything that an error shows, but for the lines of code in its stack, also where the stack is quoted: their numbers may
 * be a piece of a password too.
 */
const shown = (error: unknown) => inspect(error, { depth: 10, showHidden: true }).replace(/^\s*['"`]?\s*at .*$/gm, '')

const withUrl = {
  amqpUrl: (amqpUrl: string): NotificationPluginOptions => ({ amqpUrl, queue: 'hello' }),
  'hold.redis': (redis: string): NotificationPluginOptions => ({ offline: 'hold', hold: { redis } })
}

/** What the options are refused with; undefined where they are taken. */
function refusal (options: NotificationPluginOptions): Error | undefined {
  try {
    parseOptions(options)
    return undefined
  } catch (error) {
    return error as Error
  }
}

/** Where a random URL leads to. */
const PLACES = ['127.0.0.1', '127.0.0.1:5672/shop', '[::1]:5672', 'localhost?heartbeat=10', 'localhost/', '']

/** What is shown whatever the password is: what to do, and where the URL leads to. */
const always = [
  ...Object.values(withUrl).map(options => refusal(options('amqp://a@b@c'))?.message),
  ...PLACES.flatMap(place => [redactUrl(`amqp://${place}`), redactUrl(`amqp://user:password@${place}`)])
].join()

function leaked (password: string, text: string): string | undefined {
  return piecesOf(password).find(piece => text.includes(piece) && !always.includes(piece))
}

test('fault 66: of thousands of passwords with special characters, encoded or not, no piece is in an error', { timeout: 120_000 }, t => {
  const random = createRandom(t)
  let refused = 0
  for (let times = 0; times < 5_000; times++) {
    const password = randomPassword(random)
    const isEncoded = random.between(0, 3) === 0
    const text = isEncoded ? encodeURIComponent(password) : password
    const login = random.oneOf([`user:${text}`, `:${text}`, `us:${text}er`, text.replaceAll(':', '')])
    const place = random.oneOf(PLACES)
    const scheme = random.oneOf(['amqp://', 'amqps://', 'redis://', 'rediss://', 'amqp:/', 'amqp:', 'http://', '//', ''])
    const url = `${scheme}${login}@${place}`
    for (const [option, options] of Object.entries(withUrl)) {
      const error = refusal(options(url))
      if (error !== undefined) refused++
      const found = leaked(password, shown(error) + redactUrl(url))
      if (found !== undefined) t.fail(`${option} ${JSON.stringify(url)} shows ${JSON.stringify(found)}`)
      if (isEncoded && login === `user:${text}` && place.startsWith('127') && scheme === 'amqp://' && option === 'amqpUrl') {
        const credentials = loginOf(url).credentials as { response (): Buffer }
        if (error !== undefined || !credentials.response().equals(Buffer.from(`\0user\0${password}`))) t.fail(`${JSON.stringify(url)} is not taken as it is`)
      }
    }
  }
  t.ok(refused > 2_500 && refused < 9_900, `${refused} of 10,000 refused`)
  t.end()
})

for (const [option, options] of Object.entries(withUrl)) {
  const scheme = option === 'amqpUrl' ? 'amqp' : 'redis'
  for (const special of ['/', '#', '?', '@', '[', '%', '%zz', '\\', '\n', '7/', '7#', '7?']) {
    test(`fault 66: ${option} with a ${JSON.stringify(special)} in the password is refused, with what to do about it and nothing of the password`, async t => {
      for (const password of [`${special}hush-hush`, `hush${special}hush`, `hush-hush${special}`, `7${special}hush-hush`]) {
        const { app, log } = createApp(t)
        const error = await app.register(notificationPlugin, options(`${scheme}://user:${password}@example.invalid`)).then(() => undefined, (error: Error) => error)
        t.match(error, { code: 'FST_NOTIFICATION_INVALID_OPTION', message: /[Pp]ercent-encode special characters of the password/ })
        t.match(error?.message, option)
        t.notMatch(shown(error) + JSON.stringify(log.lines), 'hush')
      }
    })
  }
}

async function fail (t: Test, options: NotificationPluginOptions): Promise<string> {
  const { app, log } = createApp(t)
  await app.register(notificationPlugin, { reconnect: { initialDelay: 1, maxDelay: 1 }, ...options })
  const error = await app.ready().then(() => undefined, (error: Error) => error)
  t.match(error, { code: /^FST_NOTIFICATION_BROKER_(UNREACHABLE|REFUSED)$/ })
  const health = app.notifier.health()
  await app.close()
  return shown(error) + JSON.stringify([log.lines, health])
}

test('fault 66: an encoded password is in no line of the log and in no error, whether nobody answers, the name is unknown, or the broker refuses it', async t => {
  const broker = await useBroker(t)
  const { host } = new URL(broker.url)
  const [port] = await freePorts(1)
  const random = createRandom(t)
  for (let times = 0; times < 10; times++) {
    const password = randomPassword(random).replace(/\d/g, 'Q') // the log has digits of its own: times, ports and process ids
    const login = `guest:${encodeURIComponent(password)}`
    for (const where of [host, `127.0.0.1:${port}`, 'example.invalid']) {
      const text = await fail(t, { amqpUrl: `amqp://${login}@${where}`, queue: broker.queueName() })
      t.equal(leaked(password, text), undefined, JSON.stringify(password))
    }
  }
})

const PARAMETERS = 'heartbeat, frameMax, channelMax'

const wrong: Array<[query: string, says: RegExp]> = [
  ['hearbeat=10', new RegExp(`no other query parameters than ${PARAMETERS}; got 'hearbeat'`)],
  ['locale=en_US', /got 'locale'/],
  ['heartbeat=10&maxFrameSize=0', /got 'maxFrameSize'/],
  ['__proto__=7', /got '__proto__'/],
  ['hush', /got another one/],
  ['=hush', /got another one/],
  ['hush%20hush=7', /got another one/],
  ['heartbeat=0', /heartbeat is a whole number of seconds from 1 to 3600; got another value/],
  ['heartbeat', /from 1 to 3600/],
  ['heartbeat=', /from 1 to 3600/],
  ['heartbeat=hush', /from 1 to 3600/],
  ['heartbeat=1.5', /from 1 to 3600/],
  ['heartbeat=1e1', /from 1 to 3600/],
  ['heartbeat=10s', /from 1 to 3600/],
  ['heartbeat=-1', /from 1 to 3600/],
  ['heartbeat=1=1', /from 1 to 3600/],
  ['heartbeat=3601', /from 1 to 3600/],
  ['heartbeat=10&heartbeat=20', /heartbeat given once/],
  ['frameMax=4096', /frameMax is a whole number of bytes from 8192 to 16777216/],
  ['channelMax=1', /channelMax is a whole number from 16 to 65535/]
]

for (const [query, says] of wrong) {
  test(`a wrong query parameter of amqpUrl is refused: ${query}`, t => {
    const error = refusal({ amqpUrl: `amqp://user:secret@localhost/shop?${query}`, queue: 'hello' })
    t.match(error, { code: 'FST_NOTIFICATION_INVALID_OPTION', message: /^option 'amqpUrl' must be / })
    t.match(error?.message, says)
    t.notMatch(error?.message, /hush|secret/)
    t.end()
  })
}

test('the query parameters of amqpUrl are taken, and RabbitMQ takes them', async t => {
  const broker = await useBroker(t)
  const { app } = createApp(t)
  await app.register(notificationPlugin, { amqpUrl: `${broker.url}?heartbeat=20&frameMax=8192&channelMax=16\n`, queue: broker.queueName(), cluster: true })
  await app.ready()
  t.equal(app.notifier.health().state, 'consuming')
})
