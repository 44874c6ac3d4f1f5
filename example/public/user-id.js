const KEY = 'user id'

/**
 * Keeps one user id for all forms of the page, and for the next visit.
 * @param inputs the fields for it
 */
export function shareUserId (inputs) {
  function set (value) {
    for (const input of inputs) {
      input.value = value
      input.setCustomValidity(isTooLong(value) ? 'A user id has at most 255 bytes.' : '')
    }
  }

  for (const input of inputs) {
    input.addEventListener('input', () => {
      set(input.value)
      store(input.value)
    })
  }
  const remembered = stored()
  if (remembered) set(remembered)
}

/** Where the browser blocks the data of sites, `localStorage` throws: then nothing is remembered. */
function store (userId) {
  try {
    localStorage.setItem(KEY, userId)
  } catch {}
}

function stored () {
  try {
    return localStorage.getItem(KEY)
  } catch {}
}

/** The server says so too, with a status that a page can't see. */
function isTooLong (userId) {
  return new TextEncoder().encode(userId).length > 255
}
