"""The Lua scripts that look at feeds and at their dead letters, and handle dead letters."""

from __future__ import annotations

from reactorhub.spiderkit.connection.commands import MAP_OF, Script

MAX_TEXT = 10_000  # bytes of an entry that a view shows
AT_ONCE = 100  # dead letters that one script handles

# KEYS: the feed. ARGV: the consumer group. Return how many entries wait, are in flight, and are dead letters.
COUNT_FEED = Script("""
local kind = redis.call('TYPE', KEYS[1])['ok']
local length = {list = 'LLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN'}
local waiting = length[kind] and redis.call(length[kind], KEYS[1]) or 0
local taken = redis.pcall('XLEN', KEYS[1] .. ':stream')
local pending = redis.pcall('XPENDING', KEYS[1] .. ':stream', ARGV[1])
local dead = redis.pcall('XLEN', KEYS[1] .. ':dead')
local under_way = type(pending) == 'table' and not pending.err and pending[1] or 0
taken = type(taken) == 'number' and taken or 0
return {waiting + taken - under_way, under_way, type(dead) == 'number' and dead or 0}
""")

# KEYS: the inbox, its hubs. Return how many entries wait, are in flight, and are dead letters.
COUNT_INBOX = Script("""
local function length(key)
  local found = redis.pcall('LLEN', key)
  return type(found) == 'number' and found or 0
end
local waiting, taken, seen = length(KEYS[1]), 0, {}
for _, who in ipairs(redis.call('HKEYS', KEYS[2])) do
  local name = string.match(who, '^[^/]*')
  if not seen[name] then waiting = waiting + length(KEYS[1] .. ':' .. name) end
  seen[name] = true
  taken = taken + length(KEYS[1] .. ':taken:' .. who)
end
local dead = redis.pcall('XLEN', KEYS[1] .. ':dead')
return {waiting, taken, type(dead) == 'number' and dead or 0}
""")

# KEYS: the dead letters. ARGV: the id before which to begin, how many. Return the newest ones, newest first:
# id, length of the entry, and all fields, their values cut.
DEAD_LETTERS = Script(f"""
local found = {{}}
for _, letter in ipairs(redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])) do
  local fields, size = {{}}, 0
  for i = 1, #letter[2], 2 do
    local name, value = letter[2][i], letter[2][i + 1]
    if name == 'entry' or name == 'd' then size = #value end
    fields[#fields + 1] = name
    fields[#fields + 1] = string.sub(value, 1, {MAX_TEXT})
  end
  found[#found + 1] = {{letter[1], size, fields}}
end
return found
""")

# KEYS: the dead letters. ARGV: the last id that counts, how many. Return the ids of the oldest ones.
OLDEST = Script("""
local ids = {}
for _, letter in ipairs(redis.call('XRANGE', KEYS[1], '-', ARGV[1], 'COUNT', ARGV[2])) do
  ids[#ids + 1] = letter[1]
end
return ids
""")

_EACH = (
    MAP_OF
    + """
local count = 0
for _, id in ipairs(ARGV) do
  local letter = redis.call('XRANGE', KEYS[1], id, id)[1]
  if letter then
    local fields = map_of(letter[2])
    handle(fields)
    redis.call('XDEL', KEYS[1], id)
    count = count + 1
  end
end
return count
"""
)

# KEYS: the dead letters, the feed's stream. ARGV: ids. The entries are read again, before new ones.
REQUEUE_FEED = Script(
    """
local function handle(fields)
  if not fields.d then return end
  local entry = {'d', fields.d, 'from', fields.from or 'stream'}
  if fields.score then entry[5], entry[6] = 'score', fields.score end
  redis.call('XADD', KEYS[2], '*', unpack(entry))
end
"""
    + _EACH
)

# KEYS: the dead letters, the inbox. ARGV: ids. The entries go to the ends of the lists that they came from.
REQUEUE_INBOX = Script(
    """
local function handle(fields)
  local list = fields.from
  if not list or string.sub(list, 1, #KEYS[2]) ~= KEYS[2] then list = KEYS[2] end
  if fields.entry then redis.call('RPUSH', list, fields.entry) end
end
"""
    + _EACH
)

# KEYS: the dead letters. ARGV: ids.
PURGE = Script("local function handle() end\n" + _EACH)
