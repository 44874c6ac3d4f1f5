// The option `amqp`: how the plugin connects to RabbitMQ, beyond the URL.
import type { ConnectionOptions } from 'node:tls'
import { Type, type Static } from '@sinclair/typebox'
import { errors } from '../errors.js'

const TLS_OPTIONS = ['ca', 'cert', 'key', 'passphrase', 'pfx', 'servername', 'minVersion', 'rejectUnauthorized', 'checkServerIdentity'] as const

/** The options of `node:tls` that are for a client. */
export type AmqpTls = Pick<ConnectionOptions, typeof TLS_OPTIONS[number]>

export interface AmqpLogin {
  readonly username: string
  readonly password: string
}

/**
 * Who the plugin is: a function that is asked before each connection, so that secrets may rotate; or `'external'`, the
 * client certificate (SASL EXTERNAL).
 */
export type AmqpCredentials = 'external' | (() => AmqpLogin | Promise<AmqpLogin>)

export const AmqpOptions = Type.Object({
  /** For `amqps://`, as in `node:tls`: `ca`, `cert`, `key`, `passphrase`, `pfx`, `servername` and others. */
  tls: Type.Optional(Type.Unsafe<AmqpTls>(Type.Unknown())),
  /**
   * A function that returns `{ username, password }`, at once or later, and is asked before each connection; or
   * `'external'` for the client certificate.
   * @default the user and the password of `amqpUrl`, or guest
   */
  credentials: Type.Optional(Type.Unsafe<AmqpCredentials>(Type.Unknown())),
  /**
   * What the connections are called in RabbitMQ's management page, before their purpose.
   * @default 'fastify-notification'
   */
  name: Type.String({ minLength: 1, maxLength: 200, default: 'fastify-notification', allowed: 'a name of 1 to 200 characters' })
}, { default: {}, additionalProperties: false, allowed: 'an object with tls, credentials and name' })

/**
 * Checks the option: TLS needs `amqps://`, and there is one place for the credentials.
 * @throws FST_NOTIFICATION_INVALID_OPTION, which shows no value: each may be a secret
 */
export function assertAmqp ({ tls, credentials }: Static<typeof AmqpOptions>, amqpUrl: string | readonly string[] | undefined): void {
  const urls = (amqpUrl === undefined ? [] : [amqpUrl].flat()).map(url => new URL(url))
  if (tls !== undefined) assertTls(tls, urls)
  if (credentials === undefined) return
  if (typeof credentials !== 'function' && credentials !== 'external') {
    throw new errors.InvalidOption('amqp.credentials', "a function that returns { username, password }, or 'external'", `a ${typeof credentials}`)
  }
  if (credentials === 'external' && tls?.cert === undefined && tls?.pfx === undefined) {
    throw new errors.InvalidOption('amqp.credentials', "a function, where amqp.tls has no client certificate (cert and key, or pfx) for 'external'", "'external'")
  }
  if (urls.some(({ username, password }) => username !== '' || password !== '')) {
    throw new errors.InvalidOption('amqp.credentials', 'left out where amqpUrl has a user', typeof credentials === 'function' ? 'a function' : "'external'")
  }
}

function assertTls (tls: unknown, urls: readonly URL[]): void {
  const isObject = typeof tls === 'object' && tls !== null
  const others = isObject ? Object.keys(tls).filter(name => !(TLS_OPTIONS as readonly string[]).includes(name)) : []
  if (!isObject || others.length > 0) {
    throw new errors.InvalidOption('amqp.tls', `an object of options of node:tls: ${TLS_OPTIONS.join(', ')}`, isObject ? 'another member' : `a ${typeof tls}`)
  }
  if (urls.length === 0 || urls.some(({ protocol }) => protocol !== 'amqps:')) throw new errors.InvalidOption('amqp.tls', 'left out where amqpUrl is not amqps://', 'an object')
}
