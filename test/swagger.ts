import swagger from '@fastify/swagger'
import { test, type Test } from 'tap'
import notificationPlugin, { type NotificationPluginOptions } from '../src/index.js'
import { createApp, listen } from './support/app.js'
import { connectClient, refusal } from './support/client.js'

async function describe (t: Test, options: NotificationPluginOptions) {
  const { app } = createApp(t)
  await app.register(swagger, { openapi: { openapi: '3.1.0' } })
  await app.register(notificationPlugin, options)
  await app.ready()
  return app.swagger() as { paths: Record<string, Record<string, any>> }
}

test('@fastify/swagger shows the route, and nothing else', async t => {
  const { paths } = await describe(t, {})
  t.same(Object.keys(paths), ['/notification'])
  t.same(Object.keys(paths['/notification']!), ['get'])
  const { summary, description, tags, parameters, responses } = paths['/notification']!.get
  t.equal(summary, 'Opens a WebSocket that receives the notifications of a user')
  t.match(description, 'notification.v1')
  t.same(tags, ['notification'])
  t.match(parameters, [{ name: 'userId', in: 'query', required: true, schema: { type: 'string', maxLength: 255 } }])
  t.same(Object.keys(responses), ['101', '400', '401', '403', '426', '429', '503'])
  t.same(responses[101], { description: 'The WebSocket is open' })
  t.match(responses[401], { description: 'Not authenticated', content: { 'application/json': { schema: { properties: { code: { type: 'string' } } } } } })
})

test('errors of the route are answered as by Fastify without a schema', async t => {
  const { app } = createApp(t)
  await app.register(notificationPlugin, {})
  app.get('/plain', async () => { throw Object.assign(new Error('this route speaks WebSocket: send an upgrade request'), { statusCode: 426, code: 'FST_NOTIFICATION_UPGRADE_REQUIRED' }) })
  t.equal((await app.inject('/notification?userId=123')).body, (await app.inject('/plain')).body)
})

test('the route can be hidden from @fastify/swagger by its tag', async t => {
  const { app } = createApp(t)
  await app.register(swagger, { hiddenTag: 'notification' })
  await app.register(notificationPlugin, {})
  await app.ready()
  t.same(app.swagger().paths, {})
})

test('@fastify/swagger shows that with authenticate userId may be left out, and the path of the option', async t => {
  const { paths } = await describe(t, { path: '/me/inbox', authenticate: () => '123' })
  t.match(paths['/me/inbox']!.get.parameters, [{ name: 'userId', in: 'query', required: false }])
})

test("the answers of the route stay as the application's error handler makes them", async t => {
  const { app } = createApp(t)
  app.setSerializerCompiler(() => { throw new Error('not for TypeBox') })
  app.setErrorHandler((error: { code: string }, _request, reply) => reply.code(400).send({ problem: error.code }))
  await app.register(notificationPlugin, {})
  const { at, notifications } = await listen(app)
  t.match(await refusal(at('/notification')), { statusCode: 400, body: '{"problem":"FST_NOTIFICATION_INVALID_USER_ID"}' })
  const client = await connectClient(t, notifications('123'))
  await app.notifier.notify('123', 'hi')
  t.same(await client.received(1), ['hi'])
})
