import { addDismissals, readDismissals } from './dismissals-scripts.js'
import { totals } from './totals-script.js'

/**
 * The scripts that Redis runs, each in one atomic step. Each script of the hold gets the three keys of one user, and the
 * two of all users (see {@link totals}):
 *
 * - `order`: a sorted set of `<sequence>:<id>` by position, so that equal positions are in the order of adding
 * - `expiry`: a sorted set of the ids by expiry time
 * - `data`: a hash of `:<id>` → `<sequence> <size> <position> <expiresAt> <content>`, with the counters `seq` and
 *   `bytes`
 *
 * The caller passes the time. Redis is not asked for it, because positions come from the application's clock too.
 */
const prelude = `
local order, expiry, data = KEYS[1], KEYS[2], KEYS[3]
local RECORD = '^(%d+) (%d+) (%-?%d+) (%S+) '

-- An eviction may have taken some of the three, and another program may have put something of another type there.
local types = { order = 'zset', expiry = 'zset', data = 'hash' }
local present, isBroken = 0, false
for name, key in pairs({ order = order, expiry = expiry, data = data }) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' then present = present + 1 end
  if kind ~= 'none' and kind ~= types[name] then isBroken = true end
end
local brokenCount = isBroken and 1 or 0
local hasChanged = isBroken or (present > 0 and present < 3)
if hasChanged then redis.call('DEL', order, expiry, data) end

-- What is left of records that something else has written.
if present == 3 and not isBroken and not string.match(redis.call('HGET', data, 'bytes') or '', '^%d+$') then
  local sum = 0
  for _, record in ipairs(redis.call('HVALS', data)) do sum = sum + (select(2, string.match(record, RECORD)) or 0) end
  redis.call('HSET', data, 'bytes', sum)
end

${totals}
-- Something else, such as an instance of an earlier version, has removed what the user had, and has not counted that.
if present == 0 and hasTotals and type(redis.pcall('ZSCORE', sizes, user)) == 'string' then hasChanged = true end

local function drop (id)
  local record = redis.call('HGET', data, ':' .. id)
  if not record then return end
  hasChanged = true
  local sequence, size = string.match(record, RECORD)
  redis.call('HDEL', data, ':' .. id)
  redis.call('ZREM', expiry, id)
  if not sequence then return end
  redis.call('ZREM', order, sequence .. ':' .. id)
  redis.call('HINCRBY', data, 'bytes', '-' .. size)
  return true
end

local function tidy ()
  if redis.call('ZCARD', order) == 0 then redis.call('DEL', data) end
  if hasChanged then countThis() end
end

local function idOf (member)
  return string.sub(member, 18)
end

local function dropExpired (now)
  local expired = redis.call('ZRANGEBYSCORE', expiry, '-inf', now)
  for _, id in ipairs(expired) do drop(id) end
  return #expired
end

-- Drops the oldest one, and adds it to the ids that were dropped. Returns the number of broken records, which are removed.
local function dropOldest (dropped)
  local member = redis.call('ZRANGE', order, 0, 0)[1]
  if not member then return end
  local oldest = idOf(member)
  if drop(oldest) then
    dropped[#dropped + 1] = oldest
    return 0
  end
  redis.call('ZREM', order, member)
  hasChanged = true
  return 1
end
`

/**
 * Adds a notification. Replies with the number of expired notifications; 1 if another notification has the same id,
 * else 0; the number of broken records; the user who has most if all users have too much, else an empty text; then the
 * ids that were dropped.
 */
const add = `${prelude}
local now, id, size, position, untilTime, expiresAt, content, maxCount, maxBytes, totalBytes, refused = unpack(ARGV)
local result = { dropExpired(now), 0, brokenCount, '' }
local same = redis.call('HGET', data, ':' .. id)
if same and string.match(same, '^%d+ %d+ (%S+) ') ~= position then result[2] = 1 end
if not same and refused ~= '' then result[5] = id end
if same or refused ~= '' then
  tidy()
  return result
end

local sequence = string.format('%016d', redis.call('HINCRBY', data, 'seq', 1))
redis.call('HSET', data, ':' .. id, table.concat({ sequence, size, position, expiresAt, content }, ' '))
redis.call('HINCRBY', data, 'bytes', size)
redis.call('ZADD', order, position, sequence .. ':' .. id)
redis.call('ZADD', expiry, untilTime, id)
hasChanged = true

while redis.call('ZCARD', order) > tonumber(maxCount)
  or tonumber(redis.call('HGET', data, 'bytes')) > tonumber(maxBytes) do
  local broken = dropOldest(result)
  if not broken then break end
  result[3] = result[3] + broken
end
tidy()

local latest = redis.call('ZREVRANGE', expiry, 0, 0, 'WITHSCORES')[2]
if latest then
  local left = string.format('%.0f', math.ceil(tonumber(latest) - tonumber(now)))
  for _, key in ipairs({ order, expiry, data }) do redis.call('PEXPIRE', key, left) end
  endAt(latest)
end
forgetEnded(now)
result[4] = largestIfAbove(totalBytes)
return result
`

/**
 * Drops the oldest notifications of a user who has most, 100 at most, until all users have no more than they may, or this
 * user has less than half of what the largest has. If it stopped as soon as another has more, users with about the same
 * size would take turns, with a call for each notification.
 *
 * Drops nothing while users are counted whose notifications have all expired. It forgets some of them instead.
 *
 * Replies with the number of expired notifications; the number of broken records; the user who has most if all users
 * still have too much, else an empty text; then the ids that were dropped.
 */
const trim = `${prelude}
local now, totalBytes = unpack(ARGV)
local result = { dropExpired(now), brokenCount, '' }
hasChanged = true -- the user may have been counted with what is gone
tidy()
local mayForgetMore = forgetEnded(now)
for _ = 1, 100 do
  local largest = largestIfAbove(totalBytes)
  if mayForgetMore or largest == '' or 2 * bytesOf(user) < bytesOf(largest) then break end
  result[2] = result[2] + (dropOldest(result) or 0)
  tidy()
end
result[3] = largestIfAbove(totalBytes)
return result
`

/**
 * Reads notifications, and removes records that are broken. Replies with the number of expired notifications, the number
 * of broken records, then with pairs of an id and its record.
 */
const read = `${prelude}
local now, limit, maxBytes, position, id = unpack(ARGV)
local result = { dropExpired(now), 0 }
local bytes = 0
local from = 0
if id then
  local record = redis.call('HGET', data, ':' .. id)
  local sequence, at = string.match(record or '', '^(%d+) %d+ (%S+) ')
  if at == position then
    from = (redis.call('ZRANK', order, sequence .. ':' .. id) or -1) + 1
  else
    from = redis.call('ZCOUNT', order, '-inf', '(' .. position)
  end
end
repeat
  local members = redis.call('ZRANGE', order, from, from + limit - 1)
  for _, member in ipairs(members) do
    local found = idOf(member)
    local record = redis.call('HGET', data, ':' .. found)
    local sequence = string.match(record or '', RECORD)
    bytes = bytes + #(record or '')
    if bytes > tonumber(maxBytes) and #result > 2 then break end
    if sequence and sequence .. ':' .. found == member then
      result[#result + 1] = found
      result[#result + 1] = record
    else
      redis.call('ZREM', order, member)
      redis.call('ZREM', expiry, found)
      redis.call('HDEL', data, ':' .. found)
      hasChanged = true
      brokenCount = brokenCount + 1
    end
  end
until #members == 0 or #result > 2 -- a caller that gets nothing would take it for the end
tidy()
result[2] = brokenCount
return result
`

/** Removes notifications by id. Replies with the ids that were there. */
const remove = `${prelude}
local removed = {}
for _, id in ipairs(ARGV) do
  if drop(id) then removed[#removed + 1] = id end
end
tidy()
return removed
`

/** The scripts by the names of their commands on the client. */
export const scripts = {
  notificationHoldAdd: { lua: add, numberOfKeys: 5 },
  notificationHoldTrim: { lua: trim, numberOfKeys: 5 },
  notificationHoldRead: { lua: read, numberOfKeys: 5 },
  notificationHoldRemove: { lua: remove, numberOfKeys: 5 },
  notificationDismissalsAdd: { lua: addDismissals, numberOfKeys: 3 },
  notificationDismissalsRead: { lua: readDismissals, numberOfKeys: 1 }
}
