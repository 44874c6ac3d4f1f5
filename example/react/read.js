import { useEffect } from 'react'
import { useNotifications } from 'fastify-notification/react'

/** To the other tabs of this browser. */
const tabs = new BroadcastChannel('read')

/** A function that marks notifications as read, in the other tabs too. */
export function useMarkRead () {
  const { markRead } = useNotifications()
  return ids => {
    for (const id of ids) markRead(id)
    tabs.postMessage(ids)
  }
}

/** Marks as read what was read in another tab. */
export function useReadInOtherTabs () {
  const { markRead } = useNotifications()
  useEffect(() => {
    const listening = new AbortController()
    tabs.addEventListener('message', ({ data: ids }) => { for (const id of ids) markRead(id) }, { signal: listening.signal })
    return () => listening.abort()
  }, [markRead])
}
