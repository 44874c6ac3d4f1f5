// What a fan-out costs at the least: a Buffer that was framed once, written to each socket.
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { Sender } from 'ws'

const sockets = new Map()

const app = Fastify()
await app.register(websocket)

app.get('/notification', { websocket: true }, (socket, { query: { userId } }) => {
  sockets.set(userId, socket)
  socket.on('close', () => { if (sockets.get(userId) === socket) sockets.delete(userId) })
})

app.post('/broadcast', async ({ body }) => {
  const frame = Buffer.concat(Sender.frame(Buffer.from(body), { fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false }))
  for (const socket of sockets.values()) socket._socket.write(frame)
  return {}
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
