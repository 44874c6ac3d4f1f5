/** A set of versions that the tests run on together. */
export interface Platform {
  /** By which `npm run test:platforms -- <name>` selects it. */
  readonly name: string
  /** The Debian release whose packages are used. */
  readonly debian: 'bookworm' | 'trixie' | 'forky'
  /** What this release must have: major and minor version. */
  readonly rabbitmq: string
  /** Major version. */
  readonly redis: string
  /** Major version. */
  readonly node: string
}

/**
 * What `npm run test:platforms` runs. Each supported version of RabbitMQ, Redis and Node is in at least one platform.
 * The pairs are the likely ones: who keeps an old broker often keeps an old Node.
 */
export const platforms: readonly Platform[] = [
  { name: 'bookworm-node20', debian: 'bookworm', rabbitmq: '3.10', redis: '7', node: '20' },
  { name: 'trixie-node22', debian: 'trixie', rabbitmq: '4.0', redis: '8', node: '22' },
  { name: 'trixie-node24', debian: 'trixie', rabbitmq: '4.0', redis: '8', node: '24' },
  { name: 'forky-node26', debian: 'forky', rabbitmq: '4.3', redis: '8', node: '26' }
]

/** Every version that is supported, by product, the oldest first. */
export const supportedVersions = {
  RabbitMQ: versionsOf('rabbitmq'),
  Redis: versionsOf('redis'),
  Node: versionsOf('node')
}

function versionsOf (product: 'rabbitmq' | 'redis' | 'node'): string[] {
  return [...new Set(platforms.map((platform) => platform[product]))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
}
