import { randomUUID } from 'node:crypto'
import { textBytes } from '../text-bytes.js'

/**
 * A text that the garbage collector may take, because it can be made again. A WeakRef can't hold a string, so it holds an
 * object that does.
 */
interface WeakText {
  readonly kept: WeakRef<{ readonly text: string }>
  make (): string
  /** The text was made again, and is kept from now on. */
  restored (): void
}

/** The content of a notification, and its id. All users who get the same content share one payload. */
export class Payload {
  #text: string | WeakText
  #bytes: number | undefined

  /**
   * @param text the content as a plain client receives it: a string unchanged, any other value as JSON
   * @param isString whether the content is a string
   * @param ownId the id; if omitted, the first read of `id` creates a fresh UUID
   */
  constructor (text: string, readonly isString: boolean, private ownId?: string) {
    this.#text = text
  }

  /** The content as a plain client receives it. */
  get text (): string {
    return typeof this.#text === 'string' ? this.#text : this.#text.kept.deref()?.text ?? this.#restore(this.#text)
  }

  /** Identifies the notification in logs and dead letters. Clients use it to detect a notification they have seen. */
  get id (): string {
    return (this.ownId ??= randomUUID())
  }

  /** Bytes of memory that the text takes. */
  get bytes (): number {
    return (this.#bytes ??= textBytes(this.text))
  }

  /** The content as JSON. */
  get json (): string {
    return this.isString ? JSON.stringify(this.text) : this.text
  }

  /**
   * From now on keeps the text only until the memory is needed. If somebody needs it after that, it is made again, and kept:
   * whoever tries again and again needs it each time.
   * @param make makes the same text again
   * @param restored called then
   */
  weaken (make: () => string, restored: () => void): void {
    if (typeof this.#text === 'string') this.#text = { kept: new WeakRef({ text: this.#text }), make, restored }
  }

  #restore ({ make, restored }: WeakText): string {
    const text = this.#text = make()
    restored()
    return text
  }
}
