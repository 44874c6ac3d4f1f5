import type { FastifyBaseLogger } from 'fastify'
import type { FrameFault } from './frames.js'

const WORDS: Record<FrameFault, string> = {
  foreign: 'frame dropped: it was not published with the login of this instance',
  malformed: 'frame dropped: it is malformed',
  'too-large': 'frame dropped: it is too large',
  'other-version': 'frame dropped: an instance of another version of the plugin uses this exchange. Instances of different versions do not see each other\'s users'
}

/** Counts the frames that are dropped. Each fault is logged once. */
export class FrameFaults {
  readonly counts: Record<FrameFault, number> = { foreign: 0, malformed: 0, 'too-large': 0, 'other-version': 0 }

  constructor (private readonly log: FastifyBaseLogger, private readonly exchange: string) {}

  add (fault: FrameFault): void {
    if (this.counts[fault]++ === 0) this.log.warn({ exchange: this.exchange, fault }, WORDS[fault])
  }
}
