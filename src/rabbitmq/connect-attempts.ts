/** Knows whether amqplib is trying to connect at the moment. */
export class ConnectAttempts {
  #current: { readonly ended: Promise<void>, end (): void } | undefined
  #next: NodeJS.Timeout | undefined

  /** Fulfilled when the current try has ended; undefined between tries. */
  get ended (): Promise<void> | undefined {
    return this.#current?.ended
  }

  begin (): void {
    let end = () => {}
    const ended = new Promise<void>(resolve => { end = resolve })
    this.#current = { ended, end }
  }

  /** @param delay in milliseconds */
  beginAfter (delay: number): void {
    this.#next = setTimeout(() => this.begin(), delay)
  }

  end (): void {
    this.#current?.end()
    this.#current = undefined
  }

  cancelNext (): void {
    clearTimeout(this.#next)
  }
}
