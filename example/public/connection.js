const MOST_SHOWN = 200

/** What a close code says that arrives without a reason. */
const closeCodes = {
  1000: 'closed in order',
  1001: 'the server is going away',
  1005: 'closed without a code',
  1006: 'the connection broke or was refused',
  1008: 'against the policy of the server',
  1009: 'a message was too big',
  1011: 'the server failed',
  1013: 'try again later',
  4502: 'disconnected by the application'
}

const cards = document.querySelector('#connections')
const template = document.querySelector('#card')
const nobody = document.querySelector('#nobody')
const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

/** Adds a card for a connection of a user, and connects. */
export function addConnection (userId) {
  const card = template.content.firstElementChild.cloneNode(true)
  const part = name => card.querySelector(`.${name}`)
  const buttons = { disconnect: part('disconnect'), again: part('again'), remove: part('remove') }
  let socket

  part('user').textContent = userId
  card.setAttribute('aria-label', `Connection of user ${userId}`)
  part('notifications').setAttribute('aria-label', `Notifications of user ${userId}`)
  for (const button of Object.values(buttons)) button.setAttribute('aria-label', `${button.textContent}: user ${userId}`)

  function show (state, text) {
    card.dataset.state = state
    part('state').textContent = text
    const hadFocus = card.contains(document.activeElement)
    buttons.disconnect.hidden = state === 'closed'
    buttons.again.hidden = buttons.remove.hidden = state !== 'closed'
    if (hadFocus && document.activeElement.hidden) buttons[state === 'closed' ? 'again' : 'disconnect'].focus()
  }

  function connect () {
    show('waiting', 'connecting …')
    // This is all that a client needs.
    socket = new WebSocket(notificationUrl(userId))
    socket.addEventListener('open', () => show('open', `connected at ${time.format()}`))
    socket.addEventListener('message', ({ data }) => addNotification(part('notifications'), data))
    socket.addEventListener('close', ({ code, reason }) => {
      show('closed', `closed at ${time.format()} with code ${code}: ${reason || closeCodes[code] || 'no reason given'}`)
    })
  }

  buttons.disconnect.addEventListener('click', () => socket.close(1000))
  buttons.again.addEventListener('click', connect)
  buttons.remove.addEventListener('click', () => {
    card.remove()
    nobody.hidden = cards.childElementCount > 0
    document.querySelector('#connect-user').focus()
  })

  cards.append(card)
  nobody.hidden = true
  connect()
}

function notificationUrl (userId) {
  const url = new URL('/notification', document.baseURI)
  url.protocol = url.protocol.replace('http', 'ws')
  url.searchParams.set('userId', userId)
  return url
}

function addNotification (log, text) {
  const list = log.firstElementChild
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8
  const item = document.createElement('li')
  const at = document.createElement('time')
  const content = document.createElement('span')
  const now = new Date()
  at.dateTime = now.toISOString()
  at.textContent = time.format(now)
  content.className = 'content'
  content.textContent = text // never as HTML: it comes from somebody else
  item.append(at, content)
  list.append(item)
  if (list.childElementCount > MOST_SHOWN) list.firstElementChild.remove()
  if (atEnd) log.scrollTop = log.scrollHeight // who has scrolled up to read stays there
}
