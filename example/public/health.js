const INTERVAL = 2_000 // ms

const words = {
  'no-broker': 'no RabbitMQ, notify() works',
  connecting: 'connecting to RabbitMQ …',
  consuming: 'consuming from RabbitMQ',
  standby: 'another instance consumes from RabbitMQ',
  blocked: 'RabbitMQ takes no messages now',
  'dead-letters-failing': 'RabbitMQ takes no dead letters',
  'hold-failing': 'cannot reach what it holds',
  draining: 'closing',
  stopped: 'stopped'
}

/** Shows again and again how the server is, and its way to RabbitMQ. */
export async function watchHealth (element) {
  const text = element.querySelector('strong')
  for (;;) {
    const { state, ready } = await askHealth()
    element.dataset.state = !ready ? 'closed' : state === 'consuming' ? 'open' : 'waiting'
    const now = words[state] ?? 'does not answer'
    if (text.textContent !== now) text.textContent = now // a live region: said when it changes, not each time
    await new Promise(resolve => setTimeout(resolve, INTERVAL))
  }
}

async function askHealth () {
  try {
    const response = await fetch('/ready', { cache: 'no-store' })
    return await response.json()
  } catch {
    return { ready: false }
  }
}
