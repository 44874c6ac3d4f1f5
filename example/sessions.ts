import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Maximum number of sessions. The oldest end first. */
const MOST = 10_000

interface Session {
  readonly userId: string
  readonly expiresAt: number
  /** Names the session to the plugin. It is not the one in the cookie, which is a secret. */
  readonly sessionId: string
}

/** Who has signed in. */
export interface Sessions {
  /** The session of a request; undefined if there is none, or it has expired. */
  find (request: FastifyRequest): Session | undefined
}

const SignIn = Type.Object({ userId: Type.String({ minLength: 1, maxLength: 255 }) })

/**
 * Adds the routes by which the page with React signs in and out. There is no password, as this is an example.
 *
 * The sessions are in memory, so each instance has its own. An application has them in a store, or uses a plugin for it.
 * @param seconds how long a session lasts
 */
export async function addSessions (app: FastifyInstance, seconds: number): Promise<Sessions> {
  await app.register(cookie)
  const sessions = new Map<string, Session>() // all last equally long, so the first one expires first
  const idOf = (request: FastifyRequest) => request.cookies.session ?? ''

  function find (request: FastifyRequest): Session | undefined {
    const session = sessions.get(idOf(request))
    return session !== undefined && session.expiresAt > Date.now() ? session : undefined
  }

  function removeOld (): void {
    for (const [id, { expiresAt }] of sessions) {
      if (sessions.size <= MOST && expiresAt > Date.now()) return
      sessions.delete(id)
    }
  }

  app.get('/session', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    return { userId: find(request)?.userId ?? null }
  })

  app.post<{ Body: Static<typeof SignIn> }>('/session', { schema: { body: SignIn } }, async ({ body: { userId } }, reply) => {
    const id = randomUUID()
    const expiresAt = Date.now() + seconds * 1_000
    sessions.set(id, { userId, expiresAt, sessionId: randomUUID() })
    removeOld()
    // With `secure: true` where the page has https.
    reply.setCookie('session', id, { path: '/', httpOnly: true, sameSite: 'lax', expires: new Date(expiresAt) })
    return { userId }
  })

  app.delete('/session', async (request, reply) => {
    const session = find(request)
    sessions.delete(idOf(request))
    // The tabs of this session are closed with 4502, and those of other devices of the user stay open.
    if (session !== undefined) app.notifier.disconnect(session.userId, { sessionId: session.sessionId })
    return reply.clearCookie('session', { path: '/' }).send({ userId: null })
  })

  return { find }
}
