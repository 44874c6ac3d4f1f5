import { bringIntoView } from './follow.js'
import { addMark, fill } from './notification.js'
import { showToast } from './toast.js'

const MOST_LISTED = 200
const MOST_TOASTS = 3

const template = document.querySelector('#item')

/**
 * The bell of a card, with what has arrived: in toasts, and in the list that the bell opens.
 * @param name whose they are
 */
export function createInbox (card, name) {
  const bell = card.querySelector('.bell')
  const count = card.querySelector('.count')
  const panel = card.querySelector('.notifications')
  const list = panel.querySelector('ol')
  /** The toasts that are shown, and their items of the list, by id. */
  const shown = new Map()
  let unread = 0

  panel.setAttribute('aria-label', `Notifications of ${name}`)
  showCount(0)

  function showCount (now) {
    unread = now
    count.textContent = unread > 99 ? '99+' : String(unread)
    count.hidden = unread === 0
    bell.setAttribute('aria-label', `Notifications of ${name}: ${unread} unread`)
  }

  function addItem (notification) {
    const isAtEnd = panel.scrollHeight - panel.scrollTop - panel.clientHeight < 8
    const item = template.content.firstElementChild.cloneNode(true)
    fill(item, notification)
    list.append(item)
    if (list.childElementCount > MOST_LISTED) list.firstElementChild.remove()
    if (isAtEnd) panel.scrollTop = panel.scrollHeight // who has scrolled up to read stays there
    return item
  }

  bell.addEventListener('click', () => {
    panel.hidden = !panel.hidden
    bell.setAttribute('aria-expanded', String(!panel.hidden))
    if (panel.hidden) {
      for (const item of list.querySelectorAll('.new')) item.classList.remove('new')
    } else {
      showCount(0)
      for (const { toast } of shown.values()) toast.close(false)
      panel.scrollTop = panel.scrollHeight
    }
  })

  return {
    /**
     * Shows a notification.
     * @returns when it was taken over: listed in the open list, or as a toast for long enough
     */
    async add (notification) {
      const { id = Symbol('plain') } = notification
      const item = addItem(notification)
      if (!panel.hidden) return bringIntoView(item)
      item.classList.add('new')
      showCount(unread + 1)
      const toast = showToast(card.querySelector('.toasts'), notification)
      shown.set(id, { toast, item })
      bringIntoView(toast.element)
      if (shown.size > MOST_TOASTS) shown.values().next().value.toast.close(false)
      const isSeen = await toast.closed
      shown.delete(id)
      if (!isSeen) return
      item.classList.remove('new')
      showCount(unread - 1)
    },

    /** Another tab has taken a notification over: here it needs nobody's attention any more. */
    dismiss (id) {
      const entry = shown.get(id)
      if (entry === undefined) return
      addMark(entry.item, 'read in another tab')
      entry.toast.close(true)
    }
  }
}
