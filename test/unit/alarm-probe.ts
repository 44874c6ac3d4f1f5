import { mock } from 'node:test'
import { test } from 'tap'
import { AlarmProbe } from '../../src/rabbitmq/alarm-probe.js'
import { defs, openScripted } from '../support/scripted-amqp.js'

test('the probe for alarms ends if one packet brings its channel and the end of the connection', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  let tries = 0
  const probe = new AlarmProbe(() => { tries++; return false })
  const { model, receive } = await openScripted(0, () => {}, () => {})
  const watching = probe.watch(model)
  await receive(Buffer.concat([
    defs.encodeMethod(defs.ChannelOpenOk, 1, { channelId: Buffer.alloc(0) }),
    defs.encodeMethod(defs.ConnectionClose, 0, { replyCode: 320, replyText: 'forced', classId: 0, methodId: 0 })
  ]))
  await watching
  t.equal(tries, 1)
  mock.timers.tick(60_000)
  t.equal(tries, 1, 'nothing is tried any more')
})
