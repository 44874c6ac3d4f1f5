/** When what was sent from this page was sent, by its id: a notification doesn't say how long it has waited. */
const sentAt = new Map()

/** Remembers that one was sent now. */
export function remember (id) {
  sentAt.set(id, Date.now())
}

/** Says of a notification that the server has kept for a while how long that was, or, where we don't know, what it may be. */
export function describeWait (id) {
  if (!sentAt.has(id)) return 'perhaps seen before'
  return `waited ${Math.max(1, Math.round((Date.now() - sentAt.get(id)) / 1_000))} s`
}
