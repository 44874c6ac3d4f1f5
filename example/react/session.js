/** Who is signed in; `null`: nobody. */
export const whoIsSignedIn = async () => await ask('GET')

export const signIn = async userId => await ask('POST', { userId })

/** Ends the session on the server. Deleting the cookie would not: somebody may have copied it. */
export const signOut = async () => await ask('DELETE')

async function ask (method, body) {
  const response = await fetch('/session', {
    method,
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  }).catch(() => { throw new Error('The server does not answer.') })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.message)
  return answer.userId
}
