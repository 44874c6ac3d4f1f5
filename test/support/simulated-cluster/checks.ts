// What must hold in the schedules of simulation.ts.
import { ANYBODY, type Message, type Tab, type World } from './world.js'

/** Whether a message is for a connection, by the groups that it is in now. */
export function isFor ({ audience }: Message, { subscriber: { userId }, groups }: Tab): boolean {
  if ('userIds' in audience) return audience.userIds.has(userId)
  return !audience.except.has(userId) && (audience.group === undefined || groups.has(audience.group))
}

/** Nobody who was welcomed before a message was taken may be called offline, unless for a slow client. With a hold, nobody at all. */
export function * checkOffline ({ id, audience, takenAt, summary }: Message, { tabs, options }: World): Generator<string> {
  if (!('userIds' in audience)) return // whoever leaves is
  const { offline = 0 } = summary!.outcomes
  const reachable = [...audience.userIds].filter(userId => {
    if (options.offline === 'hold') return true
    return options.clients === 'quick' && tabs.some(tab => tab.isOpen && tab.subscriber.userId === userId && tab.welcomedAt < takenAt && tab.troubledAt < takenAt)
  })
  if (offline > audience.userIds.size - reachable.length) yield `${id} has the outcome offline for ${offline}, though ${reachable} were welcomed`
}

/** When a message for a group, or for everybody, is settled, each connection has it that it was for when it was taken first. */
export function * checkReached (message: Message, { tabs, options }: World): Generator<string> {
  const { id, takenFirst, audience } = message
  if ('userIds' in audience || options.clients === 'slow') return
  for (const tab of tabs) {
    if (!tab.isOpen || tab.welcomedAt >= takenFirst || tab.troubledAt >= takenFirst || !isFor(message, tab)) continue
    if (audience.group !== undefined && tab.groups.get(audience.group)!.since >= takenFirst) continue
    if (!tab.subscriber.sent.some(sent => sent.id === id)) yield `${tab.subscriber.id} has not got ${id}, which is settled (${message.outcome})`
  }
}

/** When everything has arrived, and nobody has acknowledged anything for a while: no client is waited for whose ack makes no difference. */
export function * checkReleased ({ messages, tabs, options }: World): Generator<string> {
  if (options.offline === 'hold') return // what is held is there until a client acknowledges it
  // A taker that takes a peer for gone, or is gone itself, tells it nothing.
  const open = new Set(messages.filter(({ outcome, deliveries, taker }) => outcome === undefined || deliveries > 1 || taker!.isGone || taker!.awayAt > 0).map(({ id }) => id))
  for (const { isOpen, member, subscriber: { id, sent, unackedCount } } of tabs) {
    if (member.awayAt > 0) continue
    const settled = sent.filter(copy => !open.has(copy.id)).map(({ id }) => id)
    if (isOpen && unackedCount > sent.length - settled.length) yield `${id} is waited for ${unackedCount} acks, of ${sent.length}, though others have acknowledged ${settled}`
  }
}

/** At the end, when everything is repaired, has arrived, and is acknowledged. */
export function * checkEnd (world: World): Generator<string> {
  const { messages, members, tabs, options } = world
  for (const message of messages) yield * checkOutcome(message, world)
  for (const { isGone, number, instance, fanOut } of members) {
    if (!isGone) for (const { id } of [...instance.dispatcher.waiting(), ...fanOut.waiting()]) yield `${number} still waits for ${id}`
  }
  for (const tab of tabs) {
    yield * checkOnce(tab, world)
    yield * checkOrder(tab, world)
    if (options.clients === 'quick') yield * checkComplete(tab, world)
    if (options.clients === 'quick' && options.offline === 'drop') yield * checkManyInOrder(tab, world)
    if (tab.isOpen && tab.welcomedAt === Infinity) yield `${tab.subscriber.id} is never welcomed`
    if (tab.isOpen && tab.subscriber.unackedCount > 0) yield `${tab.subscriber.id} is still waited for`
  }
  if (options.offline === 'hold') yield * checkHold(world)
}

/** Every message has an outcome, and who is said to have it has it. */
function * checkOutcome ({ id, audience, outcome, summary }: Message, { tabs }: World): Generator<string> {
  if (summary === undefined) return yield `${id} has no outcome`
  const { acknowledged = 0, sent = 0 } = summary.outcomes
  const usersWith = (has: (tab: Tab) => boolean): number => new Set(tabs.filter(has).map(({ subscriber }) => subscriber.userId)).size
  const havingAcknowledged = usersWith(tab => tab.acknowledged.has(id))
  const having = usersWith(tab => tab.subscriber.sent.some(copy => copy.id === id))
  if ('userIds' in audience && (acknowledged > havingAcknowledged || acknowledged + sent > having)) yield `${id} has the outcome ${outcome}, though ${having} have it, and ${havingAcknowledged} have acknowledged it`
}

/**
 * After a taker has died, what it has relayed may arrive later than what the next taker has sent. So the copy that
 * is marked as redelivered may be the first one.
 */
function * checkOnce ({ subscriber: { id, sent } }: Tab, { messages, options }: World): Generator<string> {
  for (const message of messages) {
    const copies = sent.filter(copy => copy.id === message.id)
    const marked = copies.filter(({ redelivered }) => redelivered).length
    if (copies.length - marked > 1 || (copies.length > 1 && marked === 0)) yield `${id} got ${message.id} twice`
    // A peer may have put it into the hold while a connection here had it.
    if (options.offline === 'drop' && copies.length > message.deliveries) yield `${id} got ${message.id} ${copies.length} times, the broker delivered it ${message.deliveries} times`
  }
}

/** What a taker that has gone had relayed may arrive after what the next one delivers. So each taker's order counts. */
function * checkOrder (tab: Tab, { messages, members, options }: World): Generator<string> {
  const { welcomedAt, troubledAt, subscriber: { id, sent } } = tab
  for (const taker of members) {
    const taken = new Map(messages.filter(message => {
      // Of several takers, each decides anew about what no peer has taken, and the newer may be decided first.
      const isInTime = options.takers === 'one' || message.takenFirst > welcomedAt
      return isNamed(message) && message.taker === taker && message.takenAt === message.takenFirst && isInTime
    }).map(message => [message.id, message]))
    const unmarked = sent.filter(({ redelivered }) => !redelivered)
    // What is held is always marked. It is in order if nobody has had it before, and its taker knew of the connection.
    const isNew = (message: Message | undefined): boolean => {
      return message?.firstTab === tab && message.takenFirst > Math.max(welcomedAt, troubledAt) && (taker === tab.member || isKnown(message, tab))
    }
    const first = sent.filter((copy, n) => isNew(taken.get(copy.id)) && sent.findIndex(({ id }) => id === copy.id) === n)
    // What waits for a slow client gives way, whatever is older.
    for (const copies of options.clients === 'slow' ? [unmarked] : [unmarked, first]) {
      const numbers = copies.flatMap(({ id }) => taken.get(id)?.number ?? [])
      const wrong = numbers.findIndex((number, n) => n > 0 && number < numbers[n - 1]!)
      if (wrong > 0) yield `${id} got ${numbers[wrong]} after ${numbers[wrong - 1]}`
    }
  }
}

/**
 * A message for a group, or for everybody, and one for a user come in the order in which they were taken. On another instance
 * only if it was not away, and the connection was known for long enough.
 */
function * checkManyInOrder (tab: Tab, { messages }: World): Generator<string> {
  const { member, welcomedAt, troubledAt, subscriber: { id, userId, sent } } = tab
  const got = sent.filter(({ redelivered }) => !redelivered).map(copy => messages.find(message => message.id === copy.id)!)
  for (const [n, second] of got.entries()) {
    for (const first of got.slice(0, n)) {
      const { taker, takenAt } = second
      if (first.takenAt <= takenAt || isNamed(first) === isNamed(second) || first.taker !== taker || takenAt <= Math.max(welcomedAt, troubledAt)) continue
      if ([first, second].some(({ deliveries }) => deliveries > 1) || [taker!, member].some(({ awayAt }) => awayAt >= takenAt)) continue
      if (member !== taker && [first, second].some(message => !isKnown(message, tab))) continue
      if (isBehindEarlier(second, tab, messages)) continue
      yield `${id} of ${userId} got ${first.id} before ${second.id}, though neither was away`
    }
  }
}

/**
 * Whether something was under way when a message was taken that had been taken before the welcome of a connection. Its
 * instance may have refused it, and then refuses what is behind it, too.
 */
function isBehindEarlier ({ takenFirst }: Message, tab: Tab, messages: readonly Message[]): boolean {
  return messages.some(message => isNamed(message) && isFor(message, tab) && message.takenFirst <= tab.welcomedAt && message.settledAt >= takenFirst)
}

/** A connection that is still open has everything that was taken after its welcome, unless its instance was in trouble. */
function * checkComplete (tab: Tab, { messages, tabs, options }: World): Generator<string> {
  const { subscriber: { id, userId, sent }, isOpen, welcomedAt, troubledAt } = tab
  if (!isOpen) return
  for (const message of messages) {
    // One that has gone may have had a client's ack, and not have asked all others. The next taker asks only those that do
    // not have it.
    if (message.takers.some(({ isGone }) => isGone) || isBehindEarlier(message, tab, messages)) continue
    if (!('userIds' in message.audience && message.audience.userIds.has(userId)) || message.takenFirst <= welcomedAt || troubledAt >= message.takenFirst) continue
    // What comes from the hold is removed when one connection has it.
    const having = options.offline === 'hold' ? tabs.filter(tab => tab.subscriber.userId === userId).flatMap(({ subscriber }) => subscriber.sent) : sent
    if (!having.some(({ id }) => id === message.id)) yield `${id} has not got ${message.id} (${message.outcome})`
  }
}

/** What a user has not got is in the hold. What is there is delivered to whoever is connected. */
function * checkHold ({ messages, tabs, members, store, options }: World): Generator<string> {
  const users = new Set(messages.flatMap(({ audience }) => 'userIds' in audience ? [...audience.userIds] : []))
  for (const userId of users) {
    const own = tabs.filter(({ subscriber }) => subscriber.userId === userId)
    const held = store.ids(userId)
    const isDone = (id: string): boolean => own.some(({ subscriber: { sent, acknowledges }, acknowledged }) => {
      return acknowledged.has(id) || ((options.settle === 'sent' || !acknowledges) && sent.some(copy => copy.id === id))
    })
    for (const { id, audience, outcome } of messages) {
      if (!('userIds' in audience && audience.userIds.has(userId))) continue
      if (!isDone(id) && !held.includes(id)) yield `${id} is lost for ${userId} (${outcome})`
    }
    // Who is gone without a word removes nothing. Nor does it tell anybody of what is in the hold: it comes another way then.
    const isLeftOver = (id: string): boolean => isDone(id) || messages.some(message => message.id === id && message.deliveries > 1)
    const stuck = members.some(({ hasGoneSilently }) => hasGoneSilently) ? held.filter(id => !isLeftOver(id)) : held
    if (stuck.length > 0 && own.some(({ isOpen }) => isOpen)) yield `${userId} is connected, and ${stuck} are in the hold`
    if (members.some(({ isGone }) => isGone)) continue
    // A slow client may have been handed it from the hold, where a peer has put it meanwhile.
    if (options.clients === 'slow') continue
    for (const { id, deliveries, takenFirst } of messages) {
      // What an instance tells of a message may be lost with an inbox.
      if (deliveries > 1 || members.some(({ awayAt }) => awayAt >= takenFirst)) continue
      if (held.includes(id) && isDone(id)) yield `${id} of ${userId} is still in the hold`
    }
  }
}

/** Whether the taker of a message knew that a connection is there, or another one like it. */
function isKnown ({ audience, knownTo }: Message, { member: { name }, subscriber: { userId } }: Tab): boolean {
  return knownTo.get('userIds' in audience ? userId : ANYBODY)?.includes(name) === true
}

function isNamed ({ audience }: Message): boolean {
  return 'userIds' in audience
}
