// Written by hand, as in most tutorials: RabbitMQ forgets a message when it has delivered it.
import websocket from '@fastify/websocket'
import { connect } from 'amqplib'
import Fastify from 'fastify'

const { AMQP_URL, QUEUE, HEARTBEAT } = process.env
const sockets = new Map()

const app = Fastify()
await app.register(websocket)

app.get('/notification', { websocket: true }, (socket, { query: { userId } }) => {
  sockets.set(userId, socket)
  socket.isAlive = true
  socket.on('pong', () => { socket.isAlive = true })
  socket.on('close', () => { if (sockets.get(userId) === socket) sockets.delete(userId) })
})

app.post('/broadcast', async ({ body }) => {
  for (const socket of sockets.values()) socket.send(body)
  return {}
})

setInterval(() => {
  for (const socket of sockets.values()) {
    if (!socket.isAlive) {
      socket.terminate()
      continue
    }
    socket.isAlive = false
    socket.ping()
  }
}, Number(HEARTBEAT))

const connection = await connect(AMQP_URL)
const channel = await connection.createChannel()
await channel.consume(QUEUE, message => {
  const { userId, content } = JSON.parse(message.content.toString())
  sockets.get(userId)?.send(content)
}, { noAck: true })

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
