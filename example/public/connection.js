import { describeClose } from './close-codes.js'
import { createInbox } from './inbox.js'
import { NotificationClient } from './notification-client.js' // with a bundler: 'fastify-notification/client'
import { now } from './notification.js'
import { PlainClient } from './plain-client.js'
import { describeWait } from './waited.js'

const cards = document.querySelector('#connections')
const template = document.querySelector('#card')
const nobody = document.querySelector('#nobody')

/**
 * Adds a card for a connection of a user, and connects.
 * @param isPlain whether by a WebSocket alone
 * @param instance the URL of the one to connect to, where there are several
 */
export function addConnection (userId, isPlain, instance) {
  const card = template.content.firstElementChild.cloneNode(true)
  const offline = card.querySelector('.offline')
  const remove = card.querySelector('.remove')
  const state = card.querySelector('.state')
  card.querySelector('.user').textContent = userId
  card.querySelector('.plain').hidden = !isPlain
  card.querySelector('.instance').hidden = !instance
  card.querySelector('.instance').textContent = instance && `on ${new URL(instance).port}`
  card.setAttribute('aria-label', `Connection of user ${userId}`)
  offline.setAttribute('aria-label', `Offline: user ${userId}`)
  remove.setAttribute('aria-label', `Remove: user ${userId}`)

  function show (name, text) {
    card.dataset.state = name
    state.textContent = text
    offline.checked = name === 'offline' || name === 'closed'
  }

  const inbox = createInbox(card, userId)
  const Client = isPlain ? PlainClient : NotificationClient
  const client = new Client(`${instance}/notification?userId=${encodeURIComponent(userId)}`, {
    // Acknowledged when the promise resolves: when somebody has seen it, or could have.
    async onNotification ({ id, content, redelivered }) {
      await inbox.add({ id, content, at: new Date(), marks: redelivered ? [describeWait(id)] : [] })
    }
  })
  show('waiting', 'connecting …')

  client.addEventListener('open', () => show('open', `connected at ${now()}`))
  client.addEventListener('dismiss', ({ id }) => inbox.dismiss(id))
  client.addEventListener('close', ({ code, reason, willReconnect, delay }) => {
    if (!willReconnect) return // `ended` comes next
    const when = delay === undefined ? 'when the network is back' : `in ${(delay / 1_000).toFixed(1)} s`
    show('waiting', `closed ${describeClose({ code, reason })}. Connects again ${when}`)
  })
  client.addEventListener('ended', ({ code, reason }) => {
    if (code === 1000) show('offline', `offline since ${now()}`)
    else show('closed', `closed at ${now()} ${describeClose({ code, reason })}`)
  })

  offline.addEventListener('change', () => {
    if (offline.checked) return client.close()
    show('waiting', 'connecting …')
    client.connect()
  })
  remove.addEventListener('click', () => {
    client.close()
    card.remove()
    nobody.hidden = cards.childElementCount > 0
    document.querySelector('#connect-user').focus()
  })

  cards.append(card)
  nobody.hidden = true
}
