/** Approximate bytes that a notification and a user take in Redis besides the text. Measured with Redis 7: 240 to 440, and 650 with one notification. */
export const ENTRY_BYTES = 450
export const USER_BYTES = 500

/** The names of the keys of all users together, after the prefix. */
export const TOTAL_KEYS = ['held:sizes', 'held:ends'] as const

/** Maximum users whom one script forgets after all that they had has expired. They take Redis one or two milliseconds. */
const MAX_FORGOTTEN = 1_000

/**
 * The part of the scripts that counts what all users have. It comes after the three keys of the user, and has two more:
 *
 * - `sizes`: a sorted set of users by their bytes, and of `total`, the sum of them
 * - `ends`: a sorted set of the same users by the time at which Redis itself removes their keys
 *
 * The bytes of a user are computed anew from the user's keys each time that these have changed. So a wrong number of a
 * user is corrected by the next change. `total` is only added to and subtracted from. If another program writes to it, it
 * stays wrong until nobody has anything, or until the two sets have different users, so that counting begins anew.
 *
 * A Redis cluster can't count all users in one step: there the caller gives the first key in place of both.
 */
export const totals = `
local sizes, ends = KEYS[4], KEYS[5]
local hasTotals = sizes ~= order
local user = string.sub(order, #sizes - ${TOTAL_KEYS[0].length - 1}, -${':order'.length + 1})

-- Both have the same users, unless something else has taken or written one of them. Then counting begins anew.
local function checkTotals ()
  local isBroken = false
  for _, key in ipairs({ sizes, ends }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= 'zset' then isBroken = true end
  end
  if not isBroken then
    local users = redis.call('ZCARD', ends)
    isBroken = redis.call('ZCARD', sizes) ~= (users > 0 and users + 1 or 0)
      or (users > 0 and not redis.call('ZSCORE', sizes, 'total'))
  end
  if isBroken then redis.call('DEL', sizes, ends) end
end

local function bytesOf (name)
  return tonumber(redis.call('ZSCORE', sizes, name) or 0)
end

-- The first write is one that a full Redis allows. After it, Redis allows the script all others.
local function countUser (name, size, latest)
  local before = bytesOf(name)
  redis.call('ZREM', sizes, name)
  if size > 0 then
    redis.call('ZADD', ends, 'GT', latest, name) -- not earlier: a change here does not change when Redis removes the keys
    redis.call('ZADD', sizes, size, name)
  else
    redis.call('ZREM', ends, name)
  end
  redis.call('ZINCRBY', sizes, size - before, 'total')
  if redis.call('ZCARD', ends) == 0 then redis.call('DEL', sizes, ends) end
end

-- Counts what the user has now. To be called after a change.
local function countThis ()
  if not hasTotals then return end
  checkTotals()
  local entries = redis.call('ZCARD', order)
  if entries == 0 then return countUser(user, 0) end
  local latest = redis.call('ZREVRANGE', expiry, 0, 0, 'WITHSCORES')[2]
  countUser(user, ${USER_BYTES} + ${ENTRY_BYTES} * entries + redis.call('HGET', data, 'bytes'), latest)
end

-- To be called when Redis has been told to keep the keys of the user until this time, which may be earlier than before.
local function endAt (latest)
  if hasTotals then redis.call('ZADD', ends, latest, user) end
end

-- To be called after a change. Redis has removed the keys of users whose end has come, as all that they had has expired.
-- Forgets 1,000 of them at most, so that Redis is not busy for long. Returns whether there may be more.
local function forgetEnded (now)
  if not hasTotals then return false end
  local names = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, ${MAX_FORGOTTEN})
  if #names == 0 then return false end
  local sum = 0
  for _, size in ipairs(redis.call('ZMSCORE', sizes, unpack(names))) do sum = sum + (size or 0) end
  redis.call('ZREM', sizes, unpack(names))
  redis.call('ZREM', ends, unpack(names))
  redis.call('ZINCRBY', sizes, -sum, 'total')
  if redis.call('ZCARD', ends) == 0 then redis.call('DEL', sizes, ends) end
  return #names == ${MAX_FORGOTTEN}
end

-- To be called after a change. The user who has most, if all users have more than they may; else an empty text.
local function largestIfAbove (totalBytes)
  if not hasTotals or bytesOf('total') <= tonumber(totalBytes) then return '' end
  for _, name in ipairs(redis.call('ZREVRANGE', sizes, 0, 1)) do
    if name ~= 'total' then return name end
  end
  return ''
end
`
