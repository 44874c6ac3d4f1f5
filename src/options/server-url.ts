import { errors } from '../errors.js'
import { redactUrl } from './redact-url.js'
import { isEncoded, parseStrictUrl } from './strict-url.js'

const HINT = ". Percent-encode special characters of the password: '@' as %40, '/' as %2F, '#' as %23, '?' as %3F, '%' as %25, '[' as %5B"

const BROKER = 'an amqp:// or amqps:// URL'

/** A query parameter that is a whole number. */
interface Parameter {
  readonly minimum: number
  readonly maximum: number
  readonly unit: string
}

/**
 * The query parameters of the broker's URL, by amqplib's names. amqplib ignores any other parameter, and a value that
 * is not a number.
 */
const PARAMETERS: Readonly<Record<string, Parameter>> = {
  // 0 would disable heartbeats: a dead broker would not be noticed.
  heartbeat: { minimum: 1, maximum: 3_600, unit: ' of seconds' },
  // RabbitMQ 4.1 and later refuse less.
  frameMax: { minimum: 8_192, maximum: 16_777_216, unit: ' of bytes' },
  // A connection has up to 10 channels. AMQP 0-9-1 §1.4.2.5: a short integer.
  channelMax: { minimum: 16, maximum: 65_535, unit: '' }
}

/**
 * Checks the URL of a server. The error shows neither the password nor anything that might be a part of it.
 * @param option the name of the option
 * @param protocols the allowed protocols
 * @param allowed the allowed values, in the words of the error message
 * @throws FST_NOTIFICATION_INVALID_OPTION
 */
export function assertServerUrl (option: string, text: string, protocols: readonly string[], allowed: string): void {
  const url = parseStrictUrl(text)
  if (url !== undefined && protocols.includes(url.protocol) && isEncoded(text)) return
  const needsHint = url === undefined ? /[@/#?%[\]\\]./.test(text.replace('://', '')) : !isEncoded(text)
  throw new errors.InvalidOption(option, needsHint ? allowed + HINT : allowed, redactUrl(text))
}

/** Maximum number of URLs: more than the nodes of a cluster. */
const MAX_URLS = 20

/**
 * Checks the URL of the broker, or its URLs, with their query parameters.
 * @throws FST_NOTIFICATION_INVALID_OPTION
 */
export function assertBrokerUrls (amqpUrl: unknown): asserts amqpUrl is string | string[] {
  const urls: unknown[] = Array.isArray(amqpUrl) ? amqpUrl : [amqpUrl]
  if (urls.length === 0 || urls.length > MAX_URLS) throw new errors.InvalidOption('amqpUrl', `${BROKER}, or an array of 1 to ${MAX_URLS}`, `an array of ${urls.length}`)
  for (const [n, url] of urls.entries()) assertBrokerUrl(url, Array.isArray(amqpUrl) ? `amqpUrl.${n}` : 'amqpUrl')
}

function assertBrokerUrl (amqpUrl: unknown, option: string): void {
  if (typeof amqpUrl !== 'string') throw new errors.InvalidOption(option, BROKER, redactUrl(amqpUrl))
  assertServerUrl(option, amqpUrl, ['amqp:', 'amqps:'], BROKER)
  const { host, search } = new URL(amqpUrl)
  if (host === '') throw new errors.InvalidOption(option, BROKER, redactUrl(amqpUrl))
  const seen = new Set<string>()
  for (const pair of search.slice(1).split('&')) {
    if (pair === '') continue
    const [name, ...values] = pair.split('=')
    assertParameter(option, name!, seen.has(name!) ? undefined : values.join('='))
    seen.add(name!)
  }
}

/** @param value the text in the URL, which is never shown; undefined if the parameter is given twice */
function assertParameter (option: string, name: string, value: string | undefined): void {
  if (!Object.hasOwn(PARAMETERS, name)) {
    // A parameter without a value, or with an unusual name, may be anything: its name is not shown.
    const shown = value !== '' && /^[\w.-]{1,40}$/.test(name) ? `'${name}'` : 'another one'
    throw new errors.InvalidOption(option, `${BROKER} with no other query parameters than ${Object.keys(PARAMETERS).join(', ')}`, shown)
  }
  const { minimum, maximum, unit } = PARAMETERS[name]!
  if (value === undefined) throw new errors.InvalidOption(option, `${BROKER} with the query parameter ${name} given once`, 'it several times')
  const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN
  if (number >= minimum && number <= maximum) return
  throw new errors.InvalidOption(option, `${BROKER} whose query parameter ${name} is a whole number${unit} from ${minimum} to ${maximum}`, 'another value')
}
