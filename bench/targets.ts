import { ackPerMessage, acknowledged, autoAck, ours, rooms } from './contenders.js'
import type { Quantity } from './results.js'

/** What the ratio of two medians may be at most. */
export interface Target {
  readonly workload: string
  readonly quantity: Quantity
  readonly ours: string
  readonly theirs: string
  /** Theirs over ours, where more is better. */
  readonly inverse?: boolean
  readonly atMost: number
}

export const targets: Target[] = [
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 1 },
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: ackPerMessage.title, atMost: 0.75 },
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: rooms.title, atMost: 0.75 },
  { workload: 'many users, fixed rate', quantity: 'p99', ours: ours.title, theirs: autoAck.title, atMost: 1.1 },
  { workload: 'acknowledged', quantity: 'cpu', ours: acknowledged.title, theirs: ours.title, atMost: 2 },
  { workload: 'bursts', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 0.7 },
  { workload: 'bursts', quantity: 'cpu', ours: ours.title, theirs: ackPerMessage.title, atMost: 0.55 },
  { workload: 'large', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 1 },
  { workload: '10,000 connections', quantity: 'cpu', ours: `${ours.title}, 10,000`, theirs: `${ours.title}, 1,000`, atMost: 1.15 },
  { workload: 'fan-out', quantity: 'cpu', ours: 'broadcast()', theirs: 'by hand, a loop of send', atMost: 0.75 },
  { workload: 'fan-out', quantity: 'cpu', ours: 'notifyMany()', theirs: 'by hand, a loop of send', atMost: 0.75 },
  { workload: 'storm, then idle', quantity: 'memory', ours: ours.title, theirs: autoAck.title, atMost: 1.15 },
  { workload: 'storm, then idle', quantity: 'upgrades', ours: ours.title, theirs: autoAck.title, inverse: true, atMost: 1.15 }
]
