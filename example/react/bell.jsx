import { useEffect, useRef, useState } from 'react'
import { useNotifications } from 'fastify-notification/react'
import { Content } from './content.jsx'
import { useMarkRead, useReadInOtherTabs } from './read.js'

export function Bell ({ onOpen }) {
  const { notifications, unread } = useNotifications()
  const markRead = useMarkRead()
  useReadInOtherTabs()
  const [isOpen, setOpen] = useState(false)
  const place = useRef(null)

  function toggle () {
    setOpen(!isOpen)
    if (!isOpen) onOpen()
  }

  // Closed by the Escape key, and by a click elsewhere.
  useEffect(() => {
    if (!isOpen) return
    const closing = new AbortController()
    const { signal } = closing
    window.addEventListener('pointerdown', ({ target }) => { if (!place.current.contains(target)) setOpen(false) }, { signal })
    window.addEventListener('keydown', ({ key }) => { if (key === 'Escape') setOpen(false) }, { signal })
    return () => closing.abort()
  }, [isOpen])

  return (
    <div className='bell-place' ref={place}>
      <button type='button' className='icon bell' aria-label={`Notifications: ${unread} unread`} aria-expanded={isOpen} onClick={toggle}>
        <svg viewBox='0 0 24 24' aria-hidden='true'><path d='M6 9a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 15 6 9M10 20a2.2 2.2 0 0 0 4 0' /></svg>
        {unread > 0 && <span className='count'>{unread > 99 ? '99+' : unread}</span>}
      </button>
      {isOpen && (
        <section className='panel inbox' aria-label='Notifications'>
          <div className='row'>
            <h2>Notifications</h2>
            <button type='button' disabled={unread === 0} onClick={() => markRead(notifications.map(({ id }) => id))}>Mark all as read</button>
          </div>
          <ol>
            {notifications.map(notification => (
              <li key={notification.id} className={notification.isRead ? undefined : 'new'}>
                <Content notification={notification} />
                {!notification.isRead && <MarkAsRead onClick={() => markRead([notification.id])} />}
              </li>
            ))}
          </ol>
          {notifications.length === 0 && <p className='nothing'>Nothing has arrived yet.</p>}
        </section>
      )}
    </div>
  )
}

export function MarkAsRead ({ onClick }) {
  return (
    <button type='button' className='icon' aria-label='Mark as read' onClick={onClick}>
      <svg viewBox='0 0 24 24' aria-hidden='true'><path d='m5 13 4.5 4.5L19 7.5' /></svg>
    </button>
  )
}
