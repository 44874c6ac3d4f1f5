import { useCallback, useState } from 'react'
import { NotificationProvider } from 'fastify-notification/react'
import { Bell } from './bell.jsx'
import { ConnectionState } from './connection-state.jsx'
import { Send } from './send.jsx'
import { signOut } from './session.js'
import { Toasts } from './toasts.jsx'

const MOST_TOASTS = 3

export function SignedIn ({ userId, onSignedOut, onEnded }) {
  const [toasts, setToasts] = useState([]) // ids, the newest first
  const [problem, setProblem] = useState('')
  const removeToast = useCallback(id => setToasts(ids => ids.filter(other => other !== id)), [])

  async function leave () {
    try {
      await signOut()
      onSignedOut()
    } catch (error) {
      setProblem(`You are still signed in. ${error.message}`)
    }
  }

  return (
    <NotificationProvider
      // The server compares the user with that of the session: somebody else may have signed in in another tab.
      url={`/notification?session&userId=${encodeURIComponent(userId)}`}
      onNotification={({ id }) => setToasts(ids => [id, ...ids.filter(other => other !== id)].slice(0, MOST_TOASTS))}
      onEnded={onEnded}
    >
      <header>
        <h1>fastify-notification</h1>
        <div className='account'>
          <ConnectionState />
          <Bell onOpen={() => setToasts([])} />
          <span className='user'>{userId}</span>
          <button type='button' onClick={leave}>Sign out</button>
        </div>
      </header>
      <main className='page'>
        {problem && <output data-state='failed' role='alert'>{problem}</output>}
        <Send userId={userId} />
      </main>
      <Toasts ids={toasts} onDone={removeToast} />
    </NotificationProvider>
  )
}
