// What the log says of an upgrade that was refused.
import { test } from 'tap'
import { startApp } from './support/app.js'
import { refusal } from './support/client.js'

test('an upgrade that the plugin refuses is one line, without a stack', async t => {
  const { at, log } = await startApp(t, {})
  t.match(await refusal(at('/notification')), { statusCode: 400 })
  await log.line('request completed')
  const lines = log.lines.filter(({ err }) => err !== undefined)
  t.match(lines, [{ level: 30, err: { code: 'FST_NOTIFICATION_INVALID_USER_ID', statusCode: 400, stack: undefined } }])
})

test('an error of the application keeps its stack, and its own serializer', async t => {
  const { notifications, log } = await startApp(t, {}, app => {
    app.addHook('onRequest', async () => { throw new Error('of the application') })
  })
  t.match(await refusal(notifications('123')), { statusCode: 500 })
  t.match(await log.line('of the application'), { level: 50, err: { type: 'Error', message: 'of the application', stack: /refusal-log/ } })
})
