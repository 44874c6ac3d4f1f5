// Written by hand, with most care: each message is acked when its user's client has acknowledged it.
import { randomUUID } from 'node:crypto'
import websocket from '@fastify/websocket'
import { connect } from 'amqplib'
import Fastify from 'fastify'

const { AMQP_URL, QUEUE } = process.env
const sockets = new Map()

const app = Fastify()
await app.register(websocket)

app.get('/notification', { websocket: true }, (socket, { query: { userId } }) => {
  sockets.set(userId, socket)
  socket.unacked = new Map()
  socket.on('message', data => {
    for (const id of JSON.parse(data.toString()).ids) {
      const message = socket.unacked.get(id)
      if (message !== undefined && socket.unacked.delete(id)) channel.ack(message)
    }
  })
  socket.on('close', () => {
    if (sockets.get(userId) === socket) sockets.delete(userId)
    for (const message of socket.unacked.values()) channel.nack(message)
  })
})

const connection = await connect(AMQP_URL)
const channel = await connection.createChannel()
await channel.prefetch(1_000)
await channel.consume(QUEUE, message => {
  const { userId, content } = JSON.parse(message.content.toString())
  const socket = sockets.get(userId)
  if (socket === undefined) return channel.nack(message)
  const id = randomUUID()
  socket.unacked.set(id, message)
  socket.send(JSON.stringify({ type: 'notification', id, content }))
})

console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
