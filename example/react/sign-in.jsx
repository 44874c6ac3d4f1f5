import { useState } from 'react'
import { signIn } from './session.js'

export function SignIn ({ message, onSignedIn }) {
  const [problem, setProblem] = useState('')
  const [isBusy, setBusy] = useState(false)

  async function submit (event) {
    event.preventDefault()
    setBusy(true)
    try {
      onSignedIn(await signIn(new FormData(event.target).get('userId')))
    } catch (error) {
      setProblem(error.message)
      setBusy(false)
    }
  }

  return (
    <main className='sign-in'>
      <form className='panel' aria-labelledby='sign-in-title' onSubmit={submit}>
        <h1 id='sign-in-title'>Sign in</h1>
        {message && <p className='notice' role='status'>{message}</p>}
        <div className='field'>
          <label htmlFor='user'>User id</label>
          <input id='user' name='userId' defaultValue='ada' required maxLength={255} autoComplete='username' spellCheck={false} autoFocus />
        </div>
        <p className='hint'>Any name will do, without a password. All tabs of this browser share the session.</p>
        <button className='primary' disabled={isBusy}>Sign in</button>
        {problem && <output data-state='failed' role='alert'>{problem}</output>}
      </form>
    </main>
  )
}
