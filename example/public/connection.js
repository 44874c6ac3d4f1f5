import { describeClose } from './close-codes.js'
import { createInbox } from './inbox.js'
import { NotificationClient } from './notification-client.js' // with a bundler: 'fastify-notification/client'
import { now } from './notification.js'
import { addTab } from './people.js'
import { PlainClient } from './plain-client.js'
import { describeWait } from './waited.js'

const template = document.querySelector('#card')

/**
 * Adds a card for a connection of a user, and connects.
 * @param group that the server is to put the connection into; it may be empty
 * @param isPlain whether by a WebSocket alone
 * @param instance the URL of the one to connect to, where there are several
 * @param onRefused called with the reason, if the server does not want the connection. There is no card then
 */
export function addConnection (userId, { group, isPlain, instance, onRefused }) {
  const card = template.content.firstElementChild.cloneNode(true)
  const online = card.querySelector('.online')
  const remove = card.querySelector('.remove')
  const state = card.querySelector('.state')
  const place = addTab(userId, card)
  const name = `user ${userId}, tab ${place.tab}`
  let mayBeRefused = true

  card.querySelector('.tab').textContent = `Tab ${place.tab}`
  card.querySelector('.plain').hidden = !isPlain
  card.querySelector('.group').hidden = group === ''
  card.querySelector('.group').textContent = group
  card.querySelector('.instance').hidden = !instance
  card.querySelector('.instance').textContent = instance && `on ${new URL(instance).port}`
  card.setAttribute('aria-label', `Connection of ${name}`)
  online.setAttribute('aria-label', `Online: ${name}`)
  remove.setAttribute('aria-label', `Remove: ${name}`)

  function show (name, text) {
    card.dataset.state = name
    state.textContent = text
    online.checked = name === 'open' || name === 'waiting'
  }

  const inbox = createInbox(card, name)
  const Client = isPlain ? PlainClient : NotificationClient
  const client = new Client(`${instance}/notification?${new URLSearchParams({ userId, ...(group !== '' && { group }) })}`, {
    // Acknowledged when the promise resolves: when somebody has seen it, or could have.
    async onNotification ({ id, content, redelivered }) {
      await inbox.add({ id, content, at: new Date(), marks: redelivered ? [describeWait(id)] : [] })
    }
  })
  show('waiting', 'connecting …')

  client.addEventListener('open', () => {
    mayBeRefused = false
    show('open', `connected at ${now()}`)
  })
  client.addEventListener('dismiss', ({ id }) => inbox.dismiss(id))
  client.addEventListener('close', ({ code, reason, willReconnect, delay }) => {
    if (!willReconnect) return // `ended` comes next
    show('waiting', `closed ${describeClose({ code, reason })}. Connects again in ${(delay / 1_000).toFixed(1)} s`)
  })
  client.addEventListener('ended', ({ code, reason }) => {
    if (code === 1000) return show('offline', `offline since ${now()}`)
    if (!mayBeRefused) return show('closed', `closed at ${now()} ${describeClose({ code, reason })}`)
    place.remove()
    onRefused(`${userId} was refused ${describeClose({ code, reason })}`)
  })

  online.addEventListener('change', () => {
    mayBeRefused = false
    if (!online.checked) return client.close()
    show('waiting', 'connecting …')
    client.connect()
  })
  remove.addEventListener('click', () => {
    mayBeRefused = false
    client.close()
    place.remove()
    document.querySelector('#connect-user').focus()
  })
}
