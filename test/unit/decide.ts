import { test } from 'tap'
import { asksPeers, decide, type Situation, type Step } from '../../src/delivery/decide.js'

type Pattern = { readonly [Name in keyof Situation]?: Situation[Name] | ReadonlyArray<Situation[Name]> }

const values: { readonly [Name in keyof Situation]: ReadonlyArray<Situation[Name]> } = {
  kind: ['own', 'guest', 'live'],
  isHere: [true, false],
  isFull: [true, false],
  isOverShare: [true, false],
  isBehind: [true, false],
  peers: ['none', 'unasked', 'asked', 'nobody'],
  redelivers: [true, false],
  isGone: [true, false],
  isClosing: [true, false],
  hasHold: [true, false]
}

const here = { isHere: true, isGone: false } as const
const away = { kind: 'own', isHere: false, isGone: false } as const
const unknown = ['none', 'unasked', 'asked'] as const
/** The application closes, and the source hands it over to the next process. */
const leaving = { isClosing: true, redelivers: true, peers: unknown } as const
const staying: readonly Pattern[] = [{ isClosing: false }, { isClosing: true, redelivers: false }, { isClosing: true, redelivers: true, peers: 'nobody' }]

/** Every situation matches exactly one row; what a row leaves out may be anything. */
const table: ReadonlyArray<readonly [Pattern, Step]> = [
  [{ isHere: true, isFull: false, isOverShare: false, isBehind: false }, 'offer'],
  [{ isHere: false, isGone: true }, 'abandon'],
  [{ isHere: true, isGone: true, isFull: true }, 'abandon'],
  [{ isHere: true, isGone: true, isFull: false, isOverShare: true }, 'abandon'],
  [{ isHere: true, isGone: true, isFull: false, isOverShare: false, isBehind: true }, 'abandon'],
  [{ kind: 'guest', isHere: false, isGone: false }, 'refuse'],

  // Connections here, and none of them can take it now.
  ...[{ isFull: true, isOverShare: false }, { isFull: false, isOverShare: false, isBehind: true }].flatMap((busy): Array<[Pattern, Step]> => [
    [{ ...here, ...busy, ...leaving }, 'leave'],
    ...staying.flatMap((stay): Array<[Pattern, Step]> => [
      [{ ...here, ...busy, ...stay, kind: ['own', 'guest'], hasHold: true }, 'hold'],
      [{ ...here, ...busy, ...stay, kind: ['own', 'guest'], hasHold: false }, 'wait'],
      [{ ...here, ...busy, ...stay, kind: 'live' }, 'wait']
    ])
  ]),

  // Connections here, whose clients have more to acknowledge than may wait for them.
  [{ ...here, isOverShare: true, ...leaving }, 'leave'],
  ...staying.flatMap((stay): Array<[Pattern, Step]> => [
    [{ ...here, isOverShare: true, ...stay, kind: ['own', 'guest'], hasHold: true }, 'hold'],
    [{ ...here, isOverShare: true, ...stay, kind: ['own', 'guest'], hasHold: false }, 'give-up'],
    [{ ...here, isOverShare: true, ...stay, kind: 'live' }, 'refuse']
  ]),

  // A live one whose user has left.
  [{ kind: 'live', isHere: false, isGone: false, ...leaving }, 'leave'],
  ...staying.map((stay): [Pattern, Step] => [{ kind: 'live', isHere: false, isGone: false, ...stay }, 'refuse']),

  // Nobody here, behind what is on its way into the hold.
  [{ ...away, isBehind: true, ...leaving }, 'leave'],
  ...staying.flatMap((stay): Array<[Pattern, Step]> => [
    [{ ...away, isBehind: true, ...stay, hasHold: true }, 'hold'],
    [{ ...away, isBehind: true, isOverShare: false, ...stay, hasHold: false }, 'wait'],
    [{ ...away, isBehind: true, isOverShare: true, ...stay, hasHold: false }, 'give-up']
  ]),

  // Nobody here.
  [{ ...away, isBehind: false, isOverShare: false, peers: ['unasked', 'asked'] }, 'await-peers'],
  [{ ...away, isBehind: false, isOverShare: true, isClosing: true, redelivers: true, peers: ['unasked', 'asked'] }, 'leave'],
  [{ ...away, isBehind: false, isClosing: true, redelivers: true, peers: 'none' }, 'leave'],
  // Certain, or a user of another instance whose clients have more to acknowledge than may wait for them.
  ...[{ peers: 'nobody' }, { peers: 'none', isClosing: false }, { peers: 'none', isClosing: true, redelivers: false },
    ...[{ isClosing: false }, { isClosing: true, redelivers: false }].map(stay => ({ ...stay, isOverShare: true, peers: ['unasked', 'asked'] }))].flatMap((certain): Array<[Pattern, Step]> => [
    [{ ...away, isBehind: false, ...certain as Pattern, hasHold: true }, 'hold'],
    [{ ...away, isBehind: false, ...certain as Pattern, hasHold: false }, 'give-up']
  ])
]

function * situations (names = Object.keys(values) as Array<keyof Situation>): Generator<Situation> {
  const [name, ...rest] = names
  if (name === undefined) return yield {} as Situation
  for (const value of values[name]) for (const others of situations(rest)) yield { [name]: value, ...others }
}

function matches (pattern: Pattern, situation: Situation): boolean {
  return (Object.keys(pattern) as Array<keyof Situation>).every(name => ([pattern[name]].flat() as unknown[]).includes(situation[name]))
}

test('every situation has exactly one row of the decision table, and the decision is the one of that row', async t => {
  let count = 0
  const wrong: unknown[] = []
  for (const situation of situations()) {
    count++
    const rows = table.filter(([pattern]) => matches(pattern, situation))
    const step = decide(situation)
    if (rows.length !== 1 || rows[0]![1] !== step) wrong.push({ situation, step, rows: rows.map(([, expected]) => expected) })
  }
  t.equal(count, 3_072)
  t.same(wrong.slice(0, 5), [])
})

test('peers are asked once for a user who is here, and otherwise until they have answered, when nothing older is on its way into the hold and they have not their share already', async t => {
  for (const situation of situations()) {
    const { kind, isHere, isBehind, isOverShare, isGone, peers } = situation
    const expected = kind === 'own' && peers !== 'none' && peers !== 'nobody' && (isHere ? peers === 'unasked' : !isBehind && !isOverShare && !isGone)
    if (asksPeers(situation) !== expected) t.same(situation, expected, 'asked')
  }
  t.notOk(asksPeers({ kind: 'guest', isHere: true, isFull: false, isOverShare: false, isBehind: false, peers: 'unasked', redelivers: true, isGone: false, isClosing: false, hasHold: false }))
})
