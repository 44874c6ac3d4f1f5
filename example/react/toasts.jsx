import { useEffect } from 'react'
import { useNotifications } from 'fastify-notification/react'
import { MarkAsRead } from './bell.jsx'
import { Content } from './content.jsx'
import { useMarkRead } from './read.js'

/** How long a toast is shown, in milliseconds. */
const TIME = 8_000

export function Toasts ({ ids, onDone }) {
  const { notifications } = useNotifications()
  const shown = notifications.filter(({ id, isRead }) => !isRead && ids.includes(id))
  return (
    <div className='toasts' role='log' aria-label='New notifications'>
      {shown.map(notification => <Toast key={notification.id} notification={notification} onDone={onDone} />)}
    </div>
  )
}

function Toast ({ notification, onDone }) {
  const { id } = notification
  const markRead = useMarkRead()

  useEffect(() => {
    const timer = setTimeout(onDone, TIME, id)
    return () => clearTimeout(timer)
  }, [id, onDone])

  return (
    <div className='toast'>
      <Content notification={notification} />
      <MarkAsRead onClick={() => markRead([id])} />
    </div>
  )
}
