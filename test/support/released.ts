import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../../src/index.js'
import { createApp, listen } from './app.js'
import { connectClient } from './client.js'

/** An application that has registered a socket of its own for user 123, has let go of it, and has closed it. */
export async function startWithReleased (t: Test, options: NotificationPluginOptions): Promise<{ app: FastifyInstance, closed: { code: number } }> {
  const { app } = createApp(t)
  await app.register(notificationPlugin, options)
  app.get('/own', { websocket: true }, socket => {
    app.notifier.register('123', socket)
    app.notifier.unregister('123', socket)
    socket.close(1000)
  })
  const { at } = await listen(app)
  return { app, closed: await (await connectClient(t, at('/own'))).closed }
}
