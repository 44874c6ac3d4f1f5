/**
 * The scripts that Redis runs, each in one atomic step. Each script gets the three keys of one user:
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

-- An eviction may have taken some of the three.
local present = redis.call('EXISTS', order, expiry, data)
if present > 0 and present < 3 then redis.call('DEL', order, expiry, data) end

local function drop (id)
  local record = redis.call('HGET', data, ':' .. id)
  if not record then return end
  local sequence, size = string.match(record, '^(%d+) (%d+) ')
  redis.call('HDEL', data, ':' .. id)
  redis.call('ZREM', order, sequence .. ':' .. id)
  redis.call('ZREM', expiry, id)
  redis.call('HINCRBY', data, 'bytes', '-' .. size)
  return true
end

local function tidy ()
  if redis.call('ZCARD', order) == 0 then redis.call('DEL', data) end
end

local function idOf (member)
  return string.sub(member, 18)
end

local function dropExpired (now)
  local expired = redis.call('ZRANGEBYSCORE', expiry, '-inf', now)
  for _, id in ipairs(expired) do drop(id) end
  if #expired > 0 then tidy() end
  return #expired
end
`

/**
 * Adds a notification. Replies with the number of expired notifications; 1 if another notification has the same id,
 * else 0; then the ids that were dropped.
 */
const add = `${prelude}
local now, id, size, position, untilTime, expiresAt, content, maxCount, maxBytes, refused = unpack(ARGV)
local result = { dropExpired(now), 0 }
local same = redis.call('HGET', data, ':' .. id)
if same then
  local isKnown = string.match(same, '^%d+ %d+ (%S+) ') ~= position
  return { result[1], isKnown and 1 or 0 }
end
if refused ~= '' then return { result[1], 0, id } end

local sequence = string.format('%016d', redis.call('HINCRBY', data, 'seq', 1))
redis.call('HSET', data, ':' .. id, table.concat({ sequence, size, position, expiresAt, content }, ' '))
redis.call('HINCRBY', data, 'bytes', size)
redis.call('ZADD', order, position, sequence .. ':' .. id)
redis.call('ZADD', expiry, untilTime, id)

while redis.call('ZCARD', order) > tonumber(maxCount)
  or tonumber(redis.call('HGET', data, 'bytes')) > tonumber(maxBytes) do
  local oldest = idOf(redis.call('ZRANGE', order, 0, 0)[1])
  drop(oldest)
  result[#result + 1] = oldest
end
tidy()

local latest = redis.call('ZREVRANGE', expiry, 0, 0, 'WITHSCORES')[2]
if latest then
  local left = string.format('%.0f', math.ceil(tonumber(latest) - tonumber(now)))
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, left) end
end
return result
`

/** Reads notifications. Replies with the number of expired notifications, then with pairs of an id and its record. */
const read = `${prelude}
local now, limit, position, id = unpack(ARGV)
local result = { dropExpired(now) }
local from = 0
if id then
  local record = redis.call('HGET', data, ':' .. id)
  local sequence, at = string.match(record or '', '^(%d+) %d+ (%S+) ')
  if at == position then
    from = redis.call('ZRANK', order, sequence .. ':' .. id) + 1
  else
    from = redis.call('ZCOUNT', order, '-inf', '(' .. position)
  end
end
for _, member in ipairs(redis.call('ZRANGE', order, from, from + limit - 1)) do
  local found = idOf(member)
  result[#result + 1] = found
  result[#result + 1] = redis.call('HGET', data, ':' .. found)
end
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
export const scripts = { notificationHoldAdd: add, notificationHoldRead: read, notificationHoldRemove: remove }
