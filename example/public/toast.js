import { fill } from './notification.js'

/** Milliseconds. Then it counts as taken over, well before the 30 s after which the server gives a client up. */
const TIME = 10_000

const template = document.querySelector('#toast')

/**
 * Shows a notification until somebody closes it, or its time is over.
 * @returns its element, `close()`, and `closed`, which resolves to whether somebody has seen it
 */
export function showToast (container, notification) {
  const toast = template.content.firstElementChild.cloneNode(true)
  fill(toast, notification)
  let close
  const closed = new Promise(resolve => { close = resolve })
  const timer = setTimeout(close, TIME, false)
  toast.querySelector('button').addEventListener('click', () => close(true))
  closed.then(() => {
    clearTimeout(timer)
    const hadFocus = toast.contains(document.activeElement)
    toast.remove()
    if (hadFocus) (container.querySelector('button') ?? container.closest('.card').querySelector('.bell')).focus()
  })
  container.append(toast)
  return { element: toast, close, closed }
}
