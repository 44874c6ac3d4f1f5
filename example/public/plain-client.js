/**
 * What a client comes to that has nothing but a WebSocket: it gets the content alone, acknowledges nothing, and does
 * not connect again by itself. As far as this page needs it, it looks like NotificationClient.
 */
export class PlainClient extends EventTarget {
  #url
  #onNotification
  #socket

  constructor (url, { onNotification }) {
    super()
    this.#url = new URL(url, document.baseURI)
    this.#url.protocol = this.#url.protocol.replace('http', 'ws')
    this.#onNotification = onNotification
    this.connect()
  }

  connect () {
    const socket = this.#socket = new WebSocket(this.#url)
    socket.addEventListener('open', () => this.dispatchEvent(new Event('open')))
    socket.addEventListener('message', ({ data }) => this.#onNotification({ content: data }))
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket === this.#socket) this.dispatchEvent(Object.assign(new Event('ended'), { code, reason }))
    })
  }

  close () {
    this.#socket.close(1000)
  }
}
