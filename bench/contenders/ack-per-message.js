// Written by hand, with more care: each message is acked when it has been sent.
import websocket from '@fastify/websocket'
import { connect } from 'amqplib'
import Fastify from 'fastify'

const { AMQP_URL, QUEUE } = process.env
const sockets = new Map()

const app = Fastify()
await app.register(websocket)

app.get('/notification', { websocket: true }, (socket, { query: { userId } }) => {
  sockets.set(userId, socket)
  socket.on('close', () => { if (sockets.get(userId) === socket) sockets.delete(userId) })
})

const connection = await connect(AMQP_URL)
const channel = await connection.createChannel()
await channel.prefetch(100)
await channel.consume(QUEUE, message => {
  const { userId, content } = JSON.parse(message.content.toString())
  sockets.get(userId)?.send(content)
  channel.ack(message)
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
