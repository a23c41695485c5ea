"""The Lua scripts of a feed. Each one changes all of its keys, or none of them.

A script copies an entry before it removes it. So an entry is never in neither of two keys, even if Redis
refuses a command in the middle of a script. Every script may run again after its reply was lost.
"""

from __future__ import annotations

from reactorhub.spiderkit.connection.commands import MAP_OF, Script

# KEYS: source, stream. ARGV: group, consumer, how many, the name under which entries are given back.
# Returns entries as {id, fields, deliveries}, the kind of the source, and the id of the last entry of the
# stream that was ever delivered.
TAKE = Script(
    MAP_OF
    + """
local source, stream = KEYS[1], KEYS[2]
local group, consumer, count, free = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local taken = {}

local function read()
  if #taken >= count then return end
  local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #taken,
                           'STREAMS', stream, '>')
  for _, entry in ipairs(reply and reply[1][2] or {}) do taken[#taken + 1] = {entry[1], entry[2], 1} end
end

local function claim()
  for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', count, free)) do
    local entry = redis.call('XCLAIM', stream, group, consumer, 0, row[1])[1]
    if entry then
      taken[#taken + 1] = {entry[1], entry[2], row[4] + 1}
    else
      redis.call('XACK', stream, group, row[1])
    end
  end
end

local function add(data, kind, ...)
  redis.call('XADD', stream, '*', 'd', data, 'from', kind, ...)
end

local movers = {}
function movers.list(missing)
  local all = redis.call('LRANGE', source, 0, missing - 1)
  for _, data in ipairs(all) do add(data, 'list') end
  redis.call('LTRIM', source, #all, -1)
end
function movers.set(missing)
  local all = redis.call('SRANDMEMBER', source, missing)
  for _, data in ipairs(all) do add(data, 'set') end
  redis.call('SREM', source, unpack(all))
end
function movers.zset(missing)
  local all = redis.call('ZREVRANGE', source, 0, missing - 1, 'WITHSCORES')
  for i = 1, #all, 2 do add(all[i], 'zset', 'score', all[i + 1]) end
  redis.call('ZREMRANGEBYRANK', source, -(#all / 2), -1)
end
function movers.stream(missing)
  for _, entry in ipairs(redis.call('XRANGE', source, '-', '+', 'COUNT', missing)) do
    if #entry[2] > 1000 then
      add(table.concat(entry[2], ' '), 'stream')
    else
      redis.call('XADD', stream, '*', unpack(entry[2]))
    end
    redis.call('XDEL', source, entry[1])
  end
end

local known = redis.pcall('XPENDING', stream, group)
if known.err then
  if not string.find(known.err, 'NOGROUP') then return known end
  redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
end
claim()
read()
local kind = redis.call('TYPE', source).ok
if #taken < count and movers[kind] then
  movers[kind](count - #taken)
  read()
end
local last = '0-0'
for _, each in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local about = map_of(each)
  if about.name == group then last = about['last-delivered-id'] end
end
return {taken, kind, last}
"""
)

# KEYS: stream. ARGV: group, consumer, milliseconds after which an entry is taken over, how many, and the
# name under which entries are given back. Returns entries as TAKE does. Removes consumers that are gone.
TAKE_OVER = Script(
    MAP_OF
    + """
local stream, group, consumer, idle, count, free = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local rows = redis.pcall('XPENDING', stream, group, 'IDLE', idle, '-', '+', count)
if rows.err then
  if string.find(rows.err, 'NOGROUP') then return {} end
  return rows
end
local taken = {}
for _, row in ipairs(rows) do
  local entry = redis.call('XCLAIM', stream, group, consumer, idle, row[1])[1]
  if entry then
    taken[#taken + 1] = {entry[1], entry[2], row[4] + 1}
  elseif #redis.call('XRANGE', stream, row[1], row[1]) == 0 then
    redis.call('XACK', stream, group, row[1])
  end
end
for _, each in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local about = map_of(each)
  local gone = about.name ~= consumer and about.name ~= free and about.idle > 2 * tonumber(idle)
  if gone and about.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, about.name) end
end
return taken
"""
)

# KEYS: stream. ARGV: group, consumer, ids. Returns the ids that another consumer has.
KEEP = Script(
    """
local lost = {}
for i = 3, #ARGV do
  local row = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if row.err or #row == 0 then
    lost[#lost + 1] = ARGV[i]
  else
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  end
end
return lost
"""
)

# KEYS: stream, then the hash of each task. ARGV: group, seconds that a task's hash lives, the time, how many
# ids of entries without a task follow, these, and then for each entry of a task: its id, the number of its
# task's key, and what is added to the counts of the task.
ACKNOWLEDGE = Script(
    """
local stream, group, without = KEYS[1], ARGV[1], tonumber(ARGV[4])
local names = {'handled', 'requests', 'responses', 'items', 'failed', 'errors'}
local acknowledged = 0

local function acknowledge(id)
  if redis.call('XACK', stream, group, id) == 0 then return false end
  redis.call('XDEL', stream, id)
  acknowledged = acknowledged + 1
  return true
end

for i = 5, 4 + without do acknowledge(ARGV[i]) end
for i = 5 + without, #ARGV, 2 + #names do
  if acknowledge(ARGV[i]) then
    local task = KEYS[1 + ARGV[i + 1]]
    for at, name in ipairs(names) do redis.pcall('HINCRBY', task, name, ARGV[i + 1 + at]) end
    redis.pcall('HSET', task, 'updated_at', ARGV[3])
    redis.pcall('EXPIRE', task, ARGV[2])
  end
end
return acknowledged
"""
)

# KEYS: stream, dead letters[, the hash of the task]. ARGV: group, id, seconds that a task's hash lives, the
# time, the most dead letters, and the fields of the dead letter.
BURY = Script(
    """
local fields = {unpack(ARGV, 6)}
if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1] == nil then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', unpack(fields))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
if KEYS[3] then
  redis.pcall('HINCRBY', KEYS[3], 'dead', 1)
  redis.pcall('HSET', KEYS[3], 'updated_at', ARGV[4])
  redis.pcall('EXPIRE', KEYS[3], ARGV[3])
end
return 1
"""
)

# KEYS: source, stream. ARGV: group, consumer, the name under which entries are given back, ids, the newest
# first. An entry that was delivered once goes back to where it came from, to the front of a list. Others stay
# in the stream, so that their deliveries stay counted, and are free for everybody.
GIVE_BACK = Script(
    MAP_OF
    + """
local source, stream, group, consumer, free = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local back = {}
function back.list(fields) return redis.pcall('LPUSH', source, fields.d) end
function back.set(fields) return redis.pcall('SADD', source, fields.d) end
function back.zset(fields) return redis.pcall('ZADD', source, fields.score, fields.d) end

local function put_back(flat)
  local fields = map_of(flat)
  local kind = redis.call('TYPE', source).ok
  local put = fields.d and back[fields.from]
  if put and (kind == fields.from or kind == 'none') then return put(fields) end
  return redis.pcall('XADD', stream, '*', unpack(flat))
end

local count = 0
for i = 4, #ARGV do
  local row = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1, consumer)[1]
  local entry = row and redis.call('XRANGE', stream, ARGV[i], ARGV[i])[1]
  if row and not entry then
    redis.call('XACK', stream, group, ARGV[i])
  elseif entry then
    count = count + 1
    local done = row[4] == 1 and put_back(entry[2])
    if done and not (type(done) == 'table' and done.err) then
      redis.call('XACK', stream, group, ARGV[i])
      redis.call('XDEL', stream, ARGV[i])
    else
      redis.call('XCLAIM', stream, group, free, 0, ARGV[i], 'RETRYCOUNT', row[4] - 1, 'JUSTID')
    end
  end
end
return count
"""
)

# KEYS: stream. ARGV: group, consumer, how many. Returns the ids of entries pending with the consumer.
MINE = Script(
    """
local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[3], ARGV[2])
local ids = {}
for _, row in ipairs(rows.err and {} or rows) do ids[#ids + 1] = row[1] end
return ids
"""
)

# KEYS: stream. ARGV: group, consumer. Removes the consumer, unless entries are pending with it.
LEAVE = Script(
    """
local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if rows.err or #rows > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
)

# KEYS: source. ARGV: the kind that the source has if it does not exist, the data, its score.
PUSH = Script(
    """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then kind = ARGV[1] end
if kind == 'set' then return redis.call('SADD', KEYS[1], ARGV[2]) end
if kind == 'zset' then return redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2]) end
if kind == 'stream' then return redis.call('XADD', KEYS[1], '*', 'd', ARGV[2]) end
return redis.call('RPUSH', KEYS[1], ARGV[2])
"""
)
