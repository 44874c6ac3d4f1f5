import { useNotifications } from 'fastify-notification/react'

const words = {
  idle: 'connecting …',
  connecting: 'connecting …',
  open: 'connected',
  waiting: 'not connected, tries again',
  closed: 'not connected'
}

export function ConnectionState () {
  const { state } = useNotifications()
  return (
    <p className='status' role='status' data-state={state}>
      <span className='dot' aria-hidden='true' />
      <span>{words[state]}</span>
    </p>
  )
}
