// An application that delivers one notification and closes: node --import tsx one-shot.ts <amqpUrl> <queue>
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'amqplib'
import Fastify from 'fastify'
import { WebSocket } from 'ws'
import notificationPlugin from '../../src/index.js'

const [amqpUrl, queue] = process.argv.slice(2) as [string, string]
const app = Fastify({ logger: { level: process.env.LOG ?? 'info', stream: process.stderr } })
await app.register(notificationPlugin, { amqpUrl, queue })
await app.listen({ port: 0, host: '127.0.0.1' })
const socket = new WebSocket(`ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/notification?userId=123`)
await once(socket, 'open')

const connection = await connect(amqpUrl)
const channel = await connection.createChannel()
channel.sendToQueue(queue, Buffer.from('{"userId":"123","content":"hello world"}'))
await once(socket, 'message')
await channel.close()
await connection.close()
await app.close()
