import { useState } from 'react'

const words = {
  acknowledged: 'A client has it.',
  held: 'Nobody is connected: kept until somebody is.',
  offline: 'Nobody is connected, and there was no room to keep it.'
}

/** Sends notifications, so that there is something to see. */
export function Send ({ userId }) {
  const [answer, setAnswer] = useState()

  async function submit (event) {
    event.preventDefault()
    const { userId, content } = Object.fromEntries(new FormData(event.target))
    setAnswer({ state: 'waiting', outcome: 'sent', text: 'Waits for an ack …' })
    try {
      const outcome = await notify(userId, content)
      setAnswer({ state: 'done', outcome, text: words[outcome] })
    } catch (error) {
      setAnswer({ state: 'failed', outcome: 'failed', text: error.message })
    }
  }

  return (
    <form className='panel' aria-labelledby='send-title' onSubmit={submit}>
      <h2 id='send-title'>Send a notification</h2>
      <p className='hint'>To yourself, or to somebody who signs in in another browser. Two tabs of yours show it both.</p>
      <div className='field'>
        <label htmlFor='to'>User id</label>
        <input id='to' name='userId' defaultValue={userId} required maxLength={255} autoComplete='off' spellCheck={false} />
      </div>
      <div className='field'>
        <label htmlFor='content'>Content</label>
        <textarea id='content' name='content' rows='2' defaultValue='hello world' />
      </div>
      <button className='primary'>Send</button>
      <output data-state={answer?.state} aria-live='polite'>
        {answer && <><span className='badge' data-outcome={answer.outcome}>{answer.outcome}</span> <span>{answer.text}</span></>}
      </output>
    </form>
  )
}

async function notify (userId, content) {
  const response = await fetch(`/notify/${encodeURIComponent(userId)}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: content })
    .catch(() => { throw new Error('The server does not answer.') })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.message)
  return answer.outcome
}
