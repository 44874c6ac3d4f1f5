import { addConnection } from './connection.js'
import { watchHealth } from './health.js'
import { offerInstances } from './instances.js'
import { showOutcome } from './output.js'
import { chooseRecipient } from './recipient.js'
import { handleSending } from './send.js'
import { shareUserId } from './user-id.js'
import { remember } from './waited.js'

/** What became of a notification, in words. */
const outcomes = {
  acknowledged: 'A client has it.',
  sent: 'Handed to a WebSocket.',
  held: 'Kept until the user connects.',
  offline: 'It was not kept.',
  'dead-lettered': 'It is in the dead-letter queue.'
}

const connect = document.querySelector('#connect')
const send = document.querySelector('#send')
shareUserId([connect.elements.userId, send.elements.userId])
offerInstances(connect.elements.instance)

connect.addEventListener('submit', event => {
  event.preventDefault()
  const { userId, group, instance, plain } = connect.elements
  const output = connect.querySelector('output')
  output.replaceChildren()
  addConnection(userId.value, {
    group: group.value,
    isPlain: plain.checked,
    instance: instance.value,
    onRefused (reason) {
      showOutcome(output, 'failed', 'refused', reason)
      userId.focus()
    }
  })
})

// Until now, the browser would have sent a form by itself, and loaded the page again.
for (const button of document.querySelectorAll('button.primary')) button.disabled = false
const recipient = chooseRecipient(send) // after that: it disables notify() where the browser has restored another choice
handleSending(send, {
  publish: {
    request (content) {
      const id = crypto.randomUUID() // by it clients know the message if RabbitMQ delivers it again
      remember(id)
      return ['/publish', { ...recipient(), content, id }]
    },
    waiting: 'RabbitMQ has not confirmed it yet.',
    describe: ({ queue }) => ['published', `It is in the queue “${queue}”.`]
  },
  notify: {
    request: content => [`/notify/${encodeURIComponent(recipient().userId)}`, content],
    waiting: 'It has no outcome until a client acknowledges it.',
    describe ({ outcome, connections, id }) {
      if (outcome === 'held') remember(id)
      return [outcome, outcomes[outcome], `${connections} ${connections === 1 ? 'connection' : 'connections'} · id ${id}`]
    }
  }
})

watchHealth(document.querySelector('#health'))
