// Connects clients that only answer pings, in a process of their own: one process may not open as many sockets as a bench needs.
// Arguments: the server, the number of the first user, how many. Tells its parent when all are connected.
import { connectClients, plain } from './clients.js'

const [origin, first, count] = process.argv.slice(2)
const userIds = Array.from({ length: Number(count) }, (_, n) => `user-${Number(first) + n}`)
await connectClients([origin!], userIds, plain, () => {})
process.send!('connected')
process.on('disconnect', () => process.exit())
