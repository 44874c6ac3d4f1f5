import { addConnection } from './connection.js'
import { watchHealth } from './health.js'
import { offerInstances } from './instances.js'
import { handleForm } from './send.js'
import { remember } from './waited.js'

/** What became of a notification, in words. */
const outcomes = {
  acknowledged: 'a client has it',
  sent: 'handed to a WebSocket',
  held: 'kept until the user connects',
  offline: 'there was no room to keep it'
}

const connect = document.querySelector('#connect')
offerInstances(connect.elements.instance)
connect.addEventListener('submit', event => {
  event.preventDefault()
  const { userId, instance, plain } = connect.elements
  addConnection(userId.value, plain.checked, instance.value)
})

handleForm(document.querySelector('#publish'), {
  send (message) {
    const id = crypto.randomUUID() // by it clients know the message if RabbitMQ delivers it again
    remember(id)
    return ['/publish', { ...message, id }]
  },
  waiting: 'publishing …',
  describe: ({ queue }) => `published to the queue “${queue}”`
})

handleForm(document.querySelector('#notify'), {
  send: ({ userId, content }) => [`/notify/${encodeURIComponent(userId)}`, content],
  waiting: 'sent; until a client acknowledges, it has no outcome …',
  describe ({ outcome, connections, id }) {
    if (outcome === 'held') remember(id)
    return `outcome: ${outcome}, ${outcomes[outcome]}\n${connections} ${connections === 1 ? 'connection' : 'connections'} · id ${id}`
  }
})

watchHealth(document.querySelector('#health'))

// Before this, the browser would send a form by itself, and load the page again.
for (const button of document.querySelectorAll('button.primary')) button.disabled = false
