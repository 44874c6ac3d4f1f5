// What an instance announces of its users, one announcement after the other.
import { test } from 'tap'
import { Announcer } from '../../src/cluster/announcer.js'
import type { Published } from '../../src/cluster/wire.js'

interface Announcement { readonly here: string[], readonly gone: string[], readonly more?: number }

/** An announcer in its first term, and a peer that has applied what was announced. */
function openAnnouncer () {
  const announced: Announcement[] = []
  const answers: Array<(published: Published) => void> = []
  const later: Array<() => void> = []
  const schedule = { count: 0 }
  const announcer = new Announcer({
    publish (presence, done) {
      announced.push(JSON.parse(presence))
      answers.push(done)
    },
    peers: () => [],
    mayWelcome: () => true,
    schedule () { schedule.count++ },
    later (_milliseconds, run) { later.push(run) },
    lost () {},
    begun () {},
    announced () {}
  })
  announcer.begin()
  /** The broker confirms the oldest unconfirmed announcement. */
  const confirm = (): void => answers.shift()!('routed')
  /** The pause after an announcement ends. */
  const pause = (): void => later.splice(0).forEach(end => end())
  confirm()
  pause()
  return { announcer, announced, confirm, pause, schedule }
}

/** What a peer knows that is told all users now, and then gets every later announcement. */
function follow ({ announcer, announced }: ReturnType<typeof openAnnouncer>): () => string[] {
  const users = new Set(announcer.parts().flat())
  const start = announced.length
  return () => {
    for (const { here, gone } of announced.slice(start)) {
      for (const userId of gone) users.delete(userId)
      for (const userId of here) users.add(userId)
    }
    return [...users].sort()
  }
}

test('a peer that asks for all users while a user is away for a moment still knows that user', t => {
  const opened = openAnnouncer()
  const { announcer, confirm } = opened
  announcer.add('reloads')
  announcer.flush()
  confirm()

  announcer.delete('reloads')
  const known = follow(opened)
  announcer.add('reloads')
  announcer.flush()
  t.same(known(), ['reloads'])
  t.end()
})

test('a peer that asks for all users does not keep one who leaves without having been announced', t => {
  const opened = openAnnouncer()
  const { announcer } = opened
  announcer.add('unconfirmed')
  announcer.flush()
  announcer.add('leaves') // waits for the confirm of the announcement before
  const known = follow(opened)
  announcer.delete('leaves')
  announcer.flush(true)
  t.same(known(), ['unconfirmed'])
  t.end()
})

test('a user is welcomed when the newest announcement that names the user is confirmed, not an older one', async t => {
  const { announcer, announced, confirm } = openAnnouncer()
  announcer.add('123')
  announcer.flush()
  announcer.delete('123')
  announcer.flush(true)
  let isWelcome = false
  announcer.add('123')!.then(() => { isWelcome = true })
  announcer.flush(true)
  t.match(announced.slice(1), [{ here: ['123'] }, { gone: ['123'] }, { here: ['123'] }])

  confirm()
  confirm()
  await null
  t.notOk(isWelcome, 'peers may know no more than that the user has left')
  confirm()
  await null
  t.ok(isWelcome)
})

test('users who come in the pause after an announcement share the next one', t => {
  const { announcer, announced, confirm, pause, schedule } = openAnnouncer()
  announcer.add('first')
  announcer.flush()
  t.match(announced.at(-1), { here: ['first'] }, 'who comes alone does not wait')
  confirm()
  for (const userId of ['second', 'third']) {
    announcer.add(userId)
    announcer.flush()
  }
  t.equal(announced.length, 2)
  schedule.count = 0
  pause()
  t.equal(schedule.count, 1, 'they do not wait for anybody else')
  announcer.flush()
  t.match(announced.slice(2), [{ here: ['second', 'third'] }])
  t.end()
})

test('what is urgent is announced in the pause too', t => {
  const { announcer, announced, confirm } = openAnnouncer()
  announcer.add('123')
  announcer.flush()
  confirm()
  announcer.delete('123')
  announcer.flush(true)
  t.match(announced.at(-1), { gone: ['123'] })
  t.end()
})
