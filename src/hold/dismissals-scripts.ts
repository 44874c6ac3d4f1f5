/** The names of the keys of all users together, after the prefix. */
export const DISMISSAL_KEYS = ['dismissed:times', 'dismissed:counts'] as const

/** Maximum users whom one call forgets. It adds at most 100 ids, so one call makes up for another. */
const MAX_FORGOTTEN = 100

/**
 * Adds ids to the sorted set `dismissed` of a user, by the time of their acknowledgement, and removes the oldest.
 *
 * If all users have more ids than they may, forgets those who acknowledged something longest ago. Two keys count:
 *
 * - `times`: a sorted set of users by the time of their last acknowledgement
 * - `counts`: a hash of the same users and how many ids they have, and of `total`, the sum of these
 *
 * A user is counted anew each time. So what an instance of an earlier version has added is counted with the user's next
 * ids, and goes with its age at the latest. If something else has written to the two, counting begins anew.
 *
 * A Redis cluster can't count all users in one step: there the caller gives the first key in place of both. The keys of
 * the users who are forgotten are not among `KEYS`, as nobody knows them before. Only a cluster needs that.
 */
export const addDismissals = `
local ids, times, counts = KEYS[1], KEYS[2], KEYS[3]
local now, maxAge, maxCount, maxTotal = unpack(ARGV)
for index = 5, #ARGV do redis.call('ZADD', ids, now, ARGV[index]) end
redis.call('ZREMRANGEBYRANK', ids, 0, -1 - maxCount)
redis.call('PEXPIRE', ids, maxAge)
if times == ids then return end

local prefix = string.sub(times, 1, -${DISMISSAL_KEYS[0].length + 1})
local user = string.sub(ids, #prefix + 1, -${':dismissed'.length + 1})

local function numberOf (text)
  return tonumber(text) or 0
end

-- Both have the same users, unless something else has taken or written one of them. Then counting begins anew.
local users, entries = redis.pcall('ZCARD', times), redis.pcall('HLEN', counts)
local total, before
if type(users) == 'number' and users > 0 and entries == users + 1 then
  total, before = unpack(redis.call('HMGET', counts, 'total', user))
end
if not tonumber(total) then
  redis.call('DEL', times, counts)
  total, before = 0, 0
end

local size = redis.call('ZCARD', ids)
total = total - numberOf(before) + size
redis.call('ZREM', times, user) -- so that nobody gives way to themselves
for _ = 1, ${MAX_FORGOTTEN} do
  local name, last = unpack(redis.call('ZRANGE', times, 0, 0, 'WITHSCORES'))
  if not name then
    total = size
    break
  end
  local isTooMuch = total > tonumber(maxTotal)
  if not isTooMuch and tonumber(last) > now - maxAge then break end
  if isTooMuch then redis.call('DEL', prefix .. name .. ':dismissed') end -- Redis itself removes those that are too old
  total = total - numberOf(redis.call('HGET', counts, name))
  redis.call('HDEL', counts, name)
  redis.call('ZREM', times, name)
end
redis.call('HSET', counts, 'total', total, user, size)
redis.call('ZADD', times, now, user)
for _, key in ipairs({ times, counts }) do redis.call('PEXPIRE', key, maxAge) end
`

/** Reads the ids of the sorted set `dismissed` that are not too old. */
export const readDismissals = `
local now, maxAge = unpack(ARGV)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (now - maxAge), '+inf')
`
