let isFollowing = false
let latest

for (const type of ['pointerdown', 'keydown', 'wheel']) {
  window.addEventListener(type, () => { isFollowing = false }, { capture: true, passive: true })
}

/** Something is sent: what arrives is brought into view, until somebody does something else. */
export function follow () {
  isFollowing = true
  latest = undefined
}

/**
 * Brings what has arrived into view.
 * @param element without one, the latest is brought into view again, as what stands above it has changed
 */
export function bringIntoView (element = latest) {
  latest = element
  if (isFollowing) element?.scrollIntoView({ block: 'nearest' })
}
