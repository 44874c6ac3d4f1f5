// Starts a private Redis and prints its URL: node --import tsx private-redis-owner.ts
import { startPrivateRedis } from '../../support/private-redis.js'

console.log((await startPrivateRedis()).url)
