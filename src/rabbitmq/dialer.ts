import { hostname } from 'node:os'
import { connect, credentials as sasl, type ChannelModel, type SocketOptions } from 'amqplib'
import { loginOf, userNameOf, withHeartbeat } from './amqplib.js'
import { errors } from '../errors.js'
import { redactUrl } from '../options/redact-url.js'
import { brokerUrls, type BrokerOptions } from '../options/schema.js'
import { withTimeout } from '../with-timeout.js'
import { withoutText } from '../without-text.js'

/** Connects to RabbitMQ: to one of its hosts, with the credentials of the moment. */
export class Dialer {
  readonly #options: BrokerOptions
  readonly #urls: readonly string[]
  readonly #name: string
  /** The host of the latest try. The first one is random, so that the instances are spread over the hosts. */
  #current: number
  #user = ''

  /** @param use what the connection is for, in the words of its name */
  constructor (options: BrokerOptions, use: string) {
    this.#options = options
    this.#urls = brokerUrls(options)
    this.#name = `${options.amqp.name} ${use} on ${hostname()}, process ${process.pid}`
    this.#current = Math.floor(Math.random() * this.#urls.length)
  }

  /** The URL of the latest try, without its password. */
  get target (): string {
    return redactUrl(this.#urls[this.#current])
  }

  /** All URLs, without their passwords. */
  get targets (): string {
    return this.#urls.map(url => redactUrl(url)).join(', ')
  }

  /** The RabbitMQ user of the latest try; empty if the broker takes the user from the client certificate. */
  get user (): string {
    return this.#user
  }

  get hosts (): number {
    return this.#urls.length
  }

  /** The next try is for another host, if there are several. */
  turn (): void {
    this.#current = (this.#current + 1) % this.#urls.length
  }

  /** @throws amqplib's error, or FST_NOTIFICATION_CREDENTIALS_FAILED */
  async dial (): Promise<ChannelModel> {
    const { amqp: { tls }, connectTimeout } = this.#options
    const url = this.#urls[this.#current]!
    return await connect(withHeartbeat(url), {
      ...tls,
      ...await this.#login(url),
      timeout: connectTimeout,
      noDelay: true,
      keepAlive: true,
      clientProperties: { connection_name: this.#name }
    })
  }

  async #login (url: string): Promise<Pick<SocketOptions, 'credentials'>> {
    const { credentials } = this.#options.amqp
    if (credentials === undefined) {
      this.#user = userNameOf(url)
      return loginOf(url)
    }
    if (credentials === 'external') return { credentials: sasl.external() }
    let login: unknown
    try {
      const asked = Promise.resolve(credentials()).then(answer => { login = answer })
      if (!await withTimeout(this.#options.connectTimeout, asked)) throw new errors.CredentialsFailed('took longer than connectTimeout')
    } catch (error) {
      if (error instanceof errors.CredentialsFailed) throw error
      const { name, code } = withoutText(error) // the text may have a secret
      throw new errors.CredentialsFailed(`threw ${[name, code].join(' ').trim()}`)
    }
    const { username, password } = (login ?? {}) as { username?: unknown, password?: unknown }
    if (typeof username !== 'string' || typeof password !== 'string') throw new errors.CredentialsFailed('returned no { username, password } of strings')
    this.#user = username
    return { credentials: sasl.plain(username, password) }
  }
}
