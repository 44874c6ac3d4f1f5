import { test } from 'tap'
import { checkFields } from '../../src/rabbitmq/fields.js'

const ID_RULE = "it must be 1 to 255 bytes of UTF-8 without control characters, and not '__proto__'"

const wrong: Array<[value: unknown, detail: string]> = [
  [undefined, 'the body is undefined: it must be an object with userId and content'],
  [null, 'the body is null: it must be an object with userId and content'],
  ['hush', 'the body is a string of 4 bytes: it must be an object with userId and content'],
  [[], 'the body is an array: it must be an object with userId and content'],
  [7, 'the body is a number: it must be an object with userId and content'],
  [{ content: 'hush' }, 'userId is missing'],
  [{ userId: null, content: 'hush' }, `userId is null: ${ID_RULE}`],
  [{ userId: '', content: 'hush' }, `userId is an empty string: ${ID_RULE}`],
  [{ userId: '__proto__', content: 'hush' }, `userId is a string of 9 bytes: ${ID_RULE}`],
  [{ userId: 'ä'.repeat(128), content: 'hush' }, `userId is a string of 256 bytes: ${ID_RULE}`],
  [{ userId: '\ud800', content: 'hush' }, `userId is a string of 3 bytes: ${ID_RULE}`],
  [{ userId: ['hush'], content: 'hush' }, `userId is an array: ${ID_RULE}`],
  [{ userId: true, content: 'hush' }, `userId is a boolean: ${ID_RULE}`],
  [{ userId: 2 ** 53, content: 'hush' }, 'userId is a number above 2^53: send it as a string'],
  [{ userId: Infinity, content: 'hush' }, 'userId is a number above 2^53: send it as a string'],
  [{ userId: -(2 ** 53), content: 'hush' }, 'userId is a number below -2^53: send it as a string'],
  [{ userId: 1.5, content: 'hush' }, 'userId is a number with a fraction: send a whole number or a string'],
  [{ userId: NaN, content: 'hush' }, 'userId is NaN: send a whole number or a string'],
  [{ userId: 7n, content: 'hush' }, 'userId is a bigint: send it as a string'],
  [{ userId: '123' }, 'content is missing'],
  [{ content: 'hush' }, 'userId is missing: give userId, userIds, group or everybody'],
  [{ userId: '1', group: 'hush', content: 'hush' }, 'userId and group are both given: give one'],
  [{ userId: 'hush', group: false, everybody: false, content: 'hush' }, 'userId and group are both given: give one'],
  [{ userIds: ['hush'], userId: false, content: 'hush' }, 'userId and userIds are both given: give one'],
  [{ group: false, content: 'hush' }, `group is a boolean: ${ID_RULE}`],
  [{ userIds: ['1'], everybody: true, content: 'hush' }, 'userIds and everybody are both given: give one'],
  [{ userId: '1', userIds: ['1'], group: 'hush', everybody: true, content: 'hush' }, 'userId, userIds, group and everybody are given: give one'],
  [{ userId: '1', except: ['hush'], content: 'hush' }, 'except is given with userId: it is for group and everybody'],
  [{ userIds: ['1'], except: ['hush'], content: 'hush' }, 'except is given with userIds: it is for group and everybody'],
  [{ userIds: 'hush', content: 'hush' }, 'userIds is a string of 4 bytes: it must be an array of 1 to 1000 user ids'],
  [{ userIds: [], content: 'hush' }, 'userIds is an array of 0: it must be an array of 1 to 1000 user ids'],
  [{ userIds: Array.from({ length: 1_001 }, (_, n) => n), content: 'hush' }, 'userIds is an array of 1001: it must be an array of 1 to 1000 user ids'],
  [{ userIds: ['1', ''], content: 'hush' }, `userIds[1] is an empty string: ${ID_RULE}`],
  [{ userIds: [1, '\ud800'], content: 'hush' }, `userIds[1] is a string of 3 bytes: ${ID_RULE}`],
  [{ userIds: [2 ** 53], content: 'hush' }, 'userIds[0] is a number above 2^53: send it as a string'],
  [{ group: 7, content: 'hush' }, 'group is a number: send it as a string'],
  [{ group: '\ud800', content: 'hush' }, `group is a string of 3 bytes: ${ID_RULE}`],
  [{ everybody: 'hush', content: 'hush' }, 'everybody is a string of 4 bytes: it must be true, or left out'],
  [{ everybody: false, content: 'hush' }, 'userId is missing'],
  [{ everybody: true, except: 'hush', content: 'hush' }, 'except is a string of 4 bytes: it must be an array of 0 to 1000 user ids'],
  [{ group: 'hush', except: [null], content: 'hush' }, `except[0] is null: ${ID_RULE}`],
  [{ group: 'hush' }, 'content is missing'],
  [{ userId: '123', content: undefined }, 'content is missing'],
  [{ userId: '123', content: 'hush', id: 7 }, 'id is a number: send it as a string'],
  [{ userId: '123', content: 'hush', id: {} }, `id is an object: ${ID_RULE}`],
  [{ userId: '123', content: 'hush', id: 'ä'.repeat(128) }, `id is a string of 256 bytes: ${ID_RULE}`]
]

for (const [value, detail] of wrong) {
  test(`the detail of a message that is wrong says what was found and what is needed: ${detail}`, t => {
    t.match(checkFields(value, 'the body'), { reason: 'invalid-message', detail, loggedDetail: detail })
    t.end()
  })
}

test('a message is for one user, several, a group or everybody; what is null is absent, and so is everybody: false', t => {
  const absent = { userId: null, userIds: null, group: null, everybody: null, except: null }
  for (const to of [{ userId: '1' }, { userIds: ['1', 2] }, { group: 'g' }, { group: 'g', except: [1, '2'] }, { everybody: true }, { everybody: true, except: [] }]) {
    for (const others of [{}, absent, { ...absent, ...!('everybody' in to) && { everybody: false } }]) t.equal(checkFields({ ...others, ...to, content: null }, 'the body'), undefined)
  }
  t.end()
})

test('a message may name 1,000 users, and except 1,000; not one more', t => {
  const users = Array.from({ length: 1_000 }, (_, n) => n)
  for (const to of [{ userIds: users }, { group: 'g', except: users }, { everybody: true, except: users }]) t.equal(checkFields({ ...to, content: '' }, 'the body'), undefined)
  t.match(checkFields({ group: 'g', except: [...users, 'one more'], content: '' }, 'the body'), { detail: 'except is an array of 1001: it must be an array of 0 to 1000 user ids' })
  t.end()
})

test('a user id may be a safe integer, and an id may be null', t => {
  for (const userId of ['123', 123, 0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) t.equal(checkFields({ userId, content: null }, 'the body'), undefined)
  for (const id of ['a', null, undefined]) t.equal(checkFields({ userId: '123', content: '', id }, 'the body'), undefined)
  t.end()
})
