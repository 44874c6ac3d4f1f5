import { test } from 'tap'
import { asksPeers, decide, type Situation, type Step } from '../../src/delivery/decide.js'

type Pattern = { readonly [Name in keyof Situation]?: Situation[Name] | ReadonlyArray<Situation[Name]> }

const values: { readonly [Name in keyof Situation]: ReadonlyArray<Situation[Name]> } = {
  kind: ['own', 'guest'],
  isHere: [true, false],
  isFull: [true, false],
  isBehind: [true, false],
  peers: ['none', 'unasked', 'asked', 'nobody'],
  returns: [true, false],
  isGone: [true, false],
  isClosing: [true, false],
  hasHold: [true, false]
}

const here = { isHere: true, isGone: false } as const
const away = { kind: 'own', isHere: false, isGone: false } as const
const unknown = ['none', 'unasked', 'asked'] as const
/** The application closes, and the source hands it over to the next process. */
const leaving = { isClosing: true, returns: true, peers: unknown } as const
const staying: readonly Pattern[] = [{ isClosing: false }, { isClosing: true, returns: false }, { isClosing: true, returns: true, peers: 'nobody' }]

/** Every situation matches exactly one row; what a row leaves out may be anything. */
const table: ReadonlyArray<readonly [Pattern, Step]> = [
  [{ isHere: true, isFull: false, isBehind: false }, 'offer'],
  [{ isHere: false, isGone: true }, 'abandon'],
  [{ isHere: true, isGone: true, isFull: true }, 'abandon'],
  [{ isHere: true, isGone: true, isFull: false, isBehind: true }, 'abandon'],
  [{ kind: 'guest', isHere: false, isGone: false }, 'refuse'],

  // Connections here, and none of them can take it now.
  ...[{ isFull: true }, { isFull: false, isBehind: true }].flatMap((busy): Array<[Pattern, Step]> => [
    [{ ...here, ...busy, ...leaving }, 'leave'],
    ...staying.flatMap((stay): Array<[Pattern, Step]> => [
      [{ ...here, ...busy, ...stay, hasHold: true }, 'hold'],
      [{ ...here, ...busy, ...stay, hasHold: false }, 'wait']
    ])
  ]),

  // Nobody here, behind what is on its way into the hold.
  [{ ...away, isBehind: true, ...leaving }, 'leave'],
  ...staying.flatMap((stay): Array<[Pattern, Step]> => [
    [{ ...away, isBehind: true, ...stay, hasHold: true }, 'hold'],
    [{ ...away, isBehind: true, ...stay, hasHold: false }, 'wait']
  ]),

  // Nobody here.
  [{ ...away, isBehind: false, peers: ['unasked', 'asked'] }, 'await-peers'],
  [{ ...away, isBehind: false, isClosing: true, returns: true, peers: 'none' }, 'leave'],
  ...[{ peers: 'nobody' }, { peers: 'none', isClosing: false }, { peers: 'none', isClosing: true, returns: false }].flatMap((certain): Array<[Pattern, Step]> => [
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
  t.equal(count, 1_024)
  t.same(wrong.slice(0, 5), [])
})

test('peers are asked once for a user who is here, and otherwise when nothing older is on its way into the hold', async t => {
  for (const situation of situations()) {
    const { kind, isHere, isBehind, isGone, peers } = situation
    const expected = kind === 'own' && peers !== 'none' && (isHere ? peers === 'unasked' : !isBehind && !isGone)
    if (asksPeers(situation) !== expected) t.same(situation, expected, 'asked')
  }
  t.notOk(asksPeers({ kind: 'guest', isHere: true, isFull: false, isBehind: false, peers: 'unasked', returns: true, isGone: false, isClosing: false, hasHold: false }))
})
