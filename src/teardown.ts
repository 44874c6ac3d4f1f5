import type { FastifyBaseLogger } from 'fastify'

/** Runs the steps of a shutdown. A step that fails does not keep the next ones from being tried. */
export class Teardown {
  private failure: { readonly error: unknown } | undefined

  constructor (private readonly log: FastifyBaseLogger) {}

  /** Runs one step. Resolves when the step has ended, even if it failed. */
  async try (step: () => unknown): Promise<void> {
    try {
      await step()
    } catch (err) {
      if (this.failure === undefined) this.failure = { error: err }
      else this.log.error({ err }, 'another step of the shutdown failed')
    }
  }

  /** @throws the first error of all steps, if there was one */
  end (): void {
    if (this.failure !== undefined) throw this.failure.error
  }
}
