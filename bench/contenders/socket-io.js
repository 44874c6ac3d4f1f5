// Socket.IO, a room for each user, behind a consumer with auto-ack.
import { createServer } from 'node:http'
import { connect } from 'amqplib'
import { Server } from 'socket.io'

const { AMQP_URL, QUEUE } = process.env

const server = createServer()
const io = new Server(server, { transports: ['websocket'], serveClient: false })
io.on('connection', socket => { socket.join(socket.handshake.query.userId) })

const connection = await connect(AMQP_URL)
const channel = await connection.createChannel()
await channel.consume(QUEUE, message => {
  const { userId, content } = JSON.parse(message.content.toString())
  io.to(userId).emit('notification', content)
}, { noAck: true })

server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
