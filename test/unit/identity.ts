import type { FastifyRequest } from 'fastify'
import { test } from 'tap'
import type { Authenticate } from '../../src/options/values.js'
import { identify } from '../../src/websocket/identity.js'

const log: unknown[] = []
const request = { log: { debug: (fields: unknown) => log.push(fields) } } as unknown as FastifyRequest
const context = { signal: new AbortController().signal }
const future = Date.now() + 1e9

for (const [what, identity, userId, expiresAt] of [
  ['a user id', '123', '123', Infinity],
  ['a user id in an object', { userId: '123' }, '123', Infinity],
  ['a time in milliseconds', { userId: '123', expiresAt: future }, '123', future],
  ['a Date', { userId: '123', expiresAt: new Date(future) }, '123', future],
  ['an undefined time', { userId: '123', expiresAt: undefined }, '123', Infinity]
] as const) {
  test(`authenticate may return ${what}`, async t => {
    t.same(await identify(request, () => identity, '123', 100, context), { userId, expiresAt, groups: [], sessionId: undefined })
    t.same(await identify(request, async () => identity, undefined, 100, context), { userId, expiresAt, groups: [], sessionId: undefined }, 'as a promise')
  })
}

test('authenticate may return a session', async t => {
  t.match(await identify(request, () => ({ userId: '123', sessionId: 'phone' }), undefined, 100, context), { sessionId: 'phone' })
})

for (const [what, identity, code] of [
  ['undefined', undefined, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['an object with an empty user', { userId: '', groups: ['a'] }, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['an object with an undefined user', { userId: undefined }, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['null', null, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['an empty text', '', 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['credentials that have expired', { userId: '123', expiresAt: 1 }, 'FST_NOTIFICATION_UNAUTHENTICATED'],
  ['another user', '456', 'FST_NOTIFICATION_FORBIDDEN_USER'],
  ['a number', 123, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['an object without a user', {}, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a text for a time', { userId: '123', expiresAt: '2030-01-01' }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a Date that is none', { userId: '123', expiresAt: new Date(NaN) }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['no text for a session', { userId: '123', sessionId: null }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a session that is too long', { userId: '123', sessionId: 'x'.repeat(256) }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a text for groups', { userId: '123', groups: 'team:7' }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['a group without a name', { userId: '123', groups: [''] }, 'FST_NOTIFICATION_INVALID_IDENTITY'],
  ['more groups than a connection may be in', { userId: '123', groups: Array.from({ length: 101 }, (_, n) => `g${n}`) }, 'FST_NOTIFICATION_INVALID_IDENTITY']
] as const) {
  test(`an authenticate that returns ${what} lets nobody in: ${code}`, async t => {
    await t.rejects(identify(request, () => identity as string, '123', 100, context), { code })
  })
}

for (const [what, error, expected] of [
  ['an error', new Error('hush'), { statusCode: 401, code: 'FST_NOTIFICATION_UNAUTHENTICATED' }],
  ['nothing', undefined, { statusCode: 401, code: 'FST_NOTIFICATION_UNAUTHENTICATED' }],
  ['an error with a status of 500', Object.assign(new Error('hush'), { statusCode: 503 }), { statusCode: 503, code: 'FST_NOTIFICATION_AUTHENTICATE_FAILED' }],
  ['an error with a status of 400', Object.assign(new Error('said'), { statusCode: 402 }), { statusCode: 402, message: 'said' }]
] as const) {
  test(`an authenticate that throws ${what} refuses with ${expected.statusCode}, and nothing secret is told`, async t => {
    const authenticate: Authenticate = () => { throw error }
    const thrown: Error = await identify(request, authenticate, '123', 100, context).then(() => { throw new Error('it let somebody in') }, error => error)
    t.match(thrown, expected)
    t.notMatch(thrown.message, 'hush')
    t.notMatch(JSON.stringify(log), 'hush')
  })
}
