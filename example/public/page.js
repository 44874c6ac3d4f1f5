import { addConnection } from './connection.js'
import { watchHealth } from './health.js'
import { handleForm } from './send.js'

const connect = document.querySelector('#connect')
connect.addEventListener('submit', event => {
  event.preventDefault()
  addConnection(connect.elements.userId.value)
})

handleForm(document.querySelector('#publish'), {
  send: message => ['/publish', message],
  describe: ({ queue }) => `published to the queue “${queue}”`
})

handleForm(document.querySelector('#notify'), {
  send: ({ userId, content }) => [`/notify/${encodeURIComponent(userId)}`, content],
  describe: ({ outcome, connections, id }) =>
    `outcome: ${outcome} · ${connections} ${connections === 1 ? 'connection' : 'connections'} · id ${id}`
})

watchHealth(document.querySelector('#health'))
