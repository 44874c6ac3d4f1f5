// Socket.IO, a room for each user and one for all, behind a consumer with auto-ack.
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { connect } from 'amqplib'
import { Server } from 'socket.io'

const { AMQP_URL, QUEUE } = process.env

const server = createServer(async (request, response) => {
  io.to('all').emit('notification', await text(request)) // POST /broadcast
  response.end('{}')
})
const io = new Server(server, { transports: ['websocket'], serveClient: false })
io.on('connection', socket => { socket.join([socket.handshake.query.userId, 'all']) })

const connection = await connect(AMQP_URL)
const channel = await connection.createChannel()
await channel.consume(QUEUE, message => {
  const { userId, content } = JSON.parse(message.content.toString())
  io.to(userId).emit('notification', content)
}, { noAck: true })

server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
