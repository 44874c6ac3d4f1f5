import type { Dismissals, Subscriber } from './doors.js'

/** Tells a connection that has just joined what its user's clients acknowledged before. */
export async function replayDismissals (dismissals: Dismissals, subscriber: Subscriber): Promise<void> {
  if (!subscriber.acknowledges) return // a plain client can't be told
  const ids = await dismissals.read(subscriber.userId)
  if (ids.length > 0) subscriber.dismiss(ids, true)
}
