export type Listener<Event> = ((event: Event) => unknown) | { handleEvent (event: Event): unknown }

export interface ListenerOptions {
  capture?: boolean
  once?: boolean
  passive?: boolean
  signal?: AbortSignal
}

interface Registration {
  readonly once: boolean
  /** Takes the listener off the signal that would remove it. */
  unlisten (): void
}

/** React Native has no EventTarget. All its methods are overridden, so an empty class does as well. */
const Base = (globalThis.EventTarget ?? class {}) as typeof EventTarget

/** Reports what a listener has thrown as the platform does: to the page's `error` event; Node ends the process. */
function reportUncaught (error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void }
  if (reportError !== undefined) reportError(error)
  else queueMicrotask(() => { throw error })
}

/**
 * An EventTarget with typed events, without a tree: `capture` and `passive` mean nothing. Unlike that of the platform, it
 * knows which listeners are present, and what each of them returns or throws.
 */
export class TypedEventTarget<Events extends { [Type in keyof Events]: Event }> extends Base {
  readonly #listeners = new Map<string, Map<Listener<never>, Registration>>()

  override addEventListener<Type extends keyof Events & string> (
    type: Type, listener: Listener<Events[Type]> | null, options: boolean | ListenerOptions = {}
  ): void {
    const { once = false, signal } = options as ListenerOptions
    if (listener === null || signal?.aborted === true) return
    const listeners = this.#listeners.get(type) ?? new Map<Listener<never>, Registration>()
    this.#listeners.set(type, listeners)
    if (listeners.has(listener)) return
    const remove = () => this.removeEventListener(type, listener)
    signal?.addEventListener('abort', remove)
    listeners.set(listener, { once, unlisten: () => signal?.removeEventListener('abort', remove) })
    this.listenerAdded(type)
  }

  override removeEventListener<Type extends keyof Events & string> (
    type: Type, listener: Listener<Events[Type]> | null, _options?: boolean | { capture?: boolean }
  ): void {
    const listeners = this.#listeners.get(type)
    listeners?.get(listener as Listener<never>)?.unlisten()
    listeners?.delete(listener as Listener<never>)
  }

  override dispatchEvent (event: Event): boolean {
    for (const call of this.callsOf(event)) {
      try {
        call()
      } catch (error) {
        reportUncaught(error)
      }
    }
    return true
  }

  /** One call for each listener of an event, in the order of adding. A call does nothing if its listener is removed before it. */
  protected callsOf (event: Event): Array<() => unknown> {
    for (const name of ['target', 'currentTarget']) Object.defineProperty(event, name, { value: this })
    const listeners = this.#listeners.get(event.type)
    return Array.from(listeners ?? [], ([listener, registration]) => () => {
      if (listeners!.get(listener) !== registration) return
      if (registration.once) this.removeEventListener(event.type as keyof Events & string, listener as Listener<Event>)
      return typeof listener === 'function' ? (listener as (event: Event) => unknown).call(this, event) : listener.handleEvent(event as never)
    })
  }

  /** Whether there is a listener for this type now. */
  protected hasListener (type: keyof Events & string): boolean {
    return (this.#listeners.get(type)?.size ?? 0) > 0
  }

  /** A listener was added. */
  protected listenerAdded (_type: keyof Events & string): void {}
}
