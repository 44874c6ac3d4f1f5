import { useEffect, useState } from 'react'
import { whoIsSignedIn } from './session.js'
import { SignIn } from './sign-in.jsx'
import { SignedIn } from './signed-in.jsx'

const reasons = {
  4500: 'Your session has expired.',
  4501: 'You have signed out.',
  4502: 'You have signed out.'
}

export function App () {
  const [userId, setUserId] = useState() // undefined: not known yet
  const [message, setMessage] = useState('')

  /** Asks the server, which alone knows whether there is still a session, and whose. */
  async function refresh (message) {
    try {
      setUserId(await whoIsSignedIn())
      setMessage(message)
    } catch (error) {
      setUserId(null)
      setMessage(error.message)
    }
  }

  useEffect(() => { refresh('') }, [])

  if (userId === undefined) return null
  if (userId === null) return <SignIn message={message} onSignedIn={setUserId} />
  return (
    <SignedIn
      key={userId} // another user begins with nothing of this one
      userId={userId}
      onSignedOut={() => { setUserId(null); setMessage('') }}
      onEnded={({ code }) => refresh(reasons[code] ?? '')}
    />
  )
}
