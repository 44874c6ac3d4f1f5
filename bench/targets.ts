import { ackBridge, ackPerMessage, acknowledged, autoAck, ours, rooms } from './contenders.js'
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
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 0.95 },
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: ackPerMessage.title, atMost: 0.65 },
  { workload: 'many users', quantity: 'cpu', ours: ours.title, theirs: rooms.title, atMost: 0.7 },
  { workload: 'many users, fixed rate', quantity: 'p99', ours: ours.title, theirs: ackPerMessage.title, atMost: 0.5 },
  { workload: 'many users, quorum queue', quantity: 'rate', ours: ours.title, theirs: autoAck.title, inverse: true, atMost: 0.9 },
  { workload: 'many users, headers', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 0.75 },
  { workload: 'acknowledged', quantity: 'cpu', ours: acknowledged.title, theirs: ackBridge.title, atMost: 0.8 },
  { workload: 'bursts', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 0.65 },
  { workload: 'large', quantity: 'cpu', ours: ours.title, theirs: autoAck.title, atMost: 1 },
  { workload: '10,000 connections', quantity: 'cpu', ours: `${ours.title}, 10,000`, theirs: `${ours.title}, 1,000`, atMost: 1.12 },
  { workload: 'fan-out', quantity: 'cpu', ours: 'broadcast()', theirs: 'by hand, a loop of send', atMost: 0.92 },
  { workload: 'fan-out', quantity: 'cpu', ours: 'notifyMany()', theirs: 'by hand, a loop of send', atMost: 0.92 },
  { workload: 'cluster', quantity: 'cpu', ours: 'cluster: true, 1 instance', theirs: 'cluster: false', atMost: 1.25 },
  { workload: 'cluster', quantity: 'cpu', ours: 'cluster: true, 2 instances', theirs: 'cluster: false', atMost: 1.8 },
  { workload: 'cluster', quantity: 'cpu', ours: 'cluster: true, 3 instances', theirs: 'cluster: false', atMost: 1.8 },
  { workload: 'connecting', quantity: 'binds', ours: 'cluster: true, 1 instance', theirs: 'cluster: false', inverse: true, atMost: 1.25 },
  { workload: 'connecting', quantity: 'binds', ours: 'cluster: true, 3 instances', theirs: 'cluster: false', inverse: true, atMost: 1.25 },
  { workload: 'storm, then idle', quantity: 'memory', ours: ours.title, theirs: autoAck.title, atMost: 1.06 }
]
