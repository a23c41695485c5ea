"""The Lua scripts of the inbox. Each is atomic, and harmless when it runs again after a lost reply.

A script that adds something does that before it removes anything: Redis refuses the first command that needs
memory, so that a full Redis changes nothing. An entry is found by its text among the first entries of a list,
because other hubs take entries meanwhile.
"""

from __future__ import annotations

from reactorhub.spiderkit.connection.commands import Script

AT_ONCE = 25  # entries that one look handles: about 20 ms of the reactor, a millisecond of Redis
MAX_ENTRY = 64 * 1024  # bytes, as much as the body of an order by API
_ROOM = 1024  # more bytes that an entry may have, because the hub adds an id to one that it gives back
MAX_DEAD = 100_000  # dead letters; about that many of the newest are kept
MAX_FIELDS = 1_000  # fields that a hash of limits may have
MAX_WORD = 1_000  # bytes of a limit or its name
DAYS_OF_CLAIM = 7
_SEARCH = 2_000  # elements at the head of a list among which an entry is looked for

# Return the first entries of a list from ARGV[1] on. An entry that is too long is left out: false.
_HEAD = f"""
local function head(key, start)
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'none' then return {{}} end
  if kind ~= 'list' then return key .. ' is a ' .. kind .. ', but must be a list' end
  local found, size = {{}}, 0
  for at = start, start + {AT_ONCE - 1} do
    local entry = redis.call('LINDEX', key, at)
    if not entry then break end
    size = size + #entry
    if #entry > {MAX_ENTRY + _ROOM} then entry = false
    elseif size > {8 * MAX_ENTRY} and #found > 0 then break end
    found[#found + 1] = entry
  end
  return found
end
"""

# KEYS: inbox, own inbox, limits, own limits, hubs, taken entries of the hub. ARGV: who the hub is.
# Return: whether Redis knows the hub; how many entries the hub has taken and not confirmed; entries; own
# entries; limits; own limits. A text instead of a list says what is wrong with the key.
LOOK = Script(
    _HEAD
    + f"""
local function hash(key)
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'none' then return {{}} end
  if kind ~= 'hash' then return key .. ' is a ' .. kind .. ', but must be a hash' end
  if redis.call('HLEN', key) > {MAX_FIELDS} then return key .. ' has more than {MAX_FIELDS} fields' end
  local flat = redis.call('HGETALL', key)
  for _, word in ipairs(flat) do
    if #word > {MAX_WORD} then return key .. ' has a text of more than {MAX_WORD} bytes' end
  end
  return flat
end
local own = {{}}
if KEYS[2] ~= KEYS[1] then own = head(KEYS[2], 0) end
local known, taken = redis.call('HEXISTS', KEYS[5], ARGV[1]), redis.call('LLEN', KEYS[6])
return {{known, taken, head(KEYS[1], 0), own, hash(KEYS[3]), hash(KEYS[4])}}
"""
)

# KEYS: a list. ARGV: how many entries to skip. Return the entries that follow.
MORE = Script(_HEAD + "return head(KEYS[1], tonumber(ARGV[1]))")

_THERE = f"""
local function there(key, entry)
  return redis.call('LPOS', key, entry, 'MAXLEN', {_SEARCH})
end
"""

# KEYS: the list, taken entries of the hub, ids, times. ARGV: who the hub is; entry, id and record of each.
# Return for each: 1 taken; 0 not there any more; 2 dropped, because its id is another entry's.
TAKE = Script(
    _THERE
    + f"""
local now, replies = tonumber(redis.call('TIME')[1]), {{}}
for i = 2, #ARGV, 3 do
  local entry, id, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local reply = 0
  if there(KEYS[1], entry) then
    reply = 2
    if redis.call('HEXISTS', KEYS[3], id) == 0 then
      redis.call('RPUSH', KEYS[2], record)
      redis.call('HSET', KEYS[3], id, ARGV[1])
      redis.call('ZADD', KEYS[4], now, id)
      reply = 1
    end
    redis.call('LREM', KEYS[1], 1, entry)
  end
  replies[#replies + 1] = reply
end
local old = now - {DAYS_OF_CLAIM * 86_400}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', old, 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
end
return replies
"""
)

# KEYS: taken entries of the hub, ids, times. ARGV: who the hub is; id, record, run id, and whether a claim
# that is gone may be renewed (1), of each. Return for each whose entry it is; false if nobody's.
CONFIRM = Script(
    """
local now, replies = redis.call('TIME')[1], {}
for i = 2, #ARGV, 4 do
  local id, record, run, renew = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  redis.call('LREM', KEYS[1], 1, record)
  local owner = redis.call('HGET', KEYS[2], id)
  if owner then owner = string.match(owner, '^[^ ]*') elseif renew == '1' then owner = ARGV[1] end
  if owner == ARGV[1] then
    redis.call('HSET', KEYS[2], id, ARGV[1] .. ' ' .. run)
    redis.call('ZADD', KEYS[3], 'NX', now, id)
  end
  replies[#replies + 1] = owner
end
return replies
"""
)

# Whether somebody lives: whoever has the hub's name now, on the same data folder.
_LIVES = """
local function lives(prefix, who)
  local hub, folder = string.match(who, '^([^/]*)/(.*)$')
  if not hub then return false end
  local key = prefix .. 'hub:' .. hub
  return redis.call('EXISTS', key) == 1 and (redis.call('HGET', key, 'folder_id') or '') == folder
end
"""

# KEYS: entries that somebody has taken, ids, times. ARGV: the prefix of keys; who it is that must not live,
# or '' if it is the hub itself; record, id, list and entry of each, the last first. The entries go back to
# the heads of their lists, and their ids are free again. Return how many went back; -1 if the hub lives.
GIVE_BACK = Script(
    _THERE
    + _LIVES
    + """
if ARGV[2] ~= '' and lives(ARGV[1], ARGV[2]) then return -1 end
local count = 0
for i = 3, #ARGV, 4 do
  local record, id, list, entry = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if there(KEYS[1], record) then
    redis.call('LPUSH', list, entry)
    redis.call('LREM', KEYS[1], 1, record)
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
    count = count + 1
  end
end
return count
"""
)

# KEYS: the list, the dead letters, ids, times. ARGV: the time; element of the list, entry, the list that it
# came from, reason, and the id that becomes free ('' for none) of each. Return how many became dead letters.
BURY = Script(
    _THERE
    + f"""
local count = 0
for i = 2, #ARGV, 5 do
  local element, entry, source, reason, id = unpack(ARGV, i, i + 4)
  if there(KEYS[1], element) then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', {MAX_DEAD}, '*',
      'entry', entry, 'from', source, 'reason', reason, 'at', ARGV[1], 'deliveries', 1)
    redis.call('LREM', KEYS[1], 1, element)
    if id ~= '' then
      redis.call('HDEL', KEYS[3], id)
      redis.call('ZREM', KEYS[4], id)
    end
    count = count + 1
  end
end
return count
"""
)

# KEYS: the list, the dead letters. ARGV: the time, the reason. Entries that are too long become dead letters,
# which keep only their beginning.
BURY_LONG = Script(
    f"""
local count = 0
for at = {AT_ONCE - 1}, 0, -1 do
  local entry = redis.call('LINDEX', KEYS[1], at)
  if entry and #entry > {MAX_ENTRY + _ROOM} then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', {MAX_DEAD}, '*',
      'entry', string.sub(entry, 1, {MAX_ENTRY}), 'from', KEYS[1],
      'reason', ARGV[2], 'at', ARGV[1], 'deliveries', 1)
    redis.call('LREM', KEYS[1], 1, entry)
    count = count + 1
  end
end
return count
"""
)

# KEYS: hubs. ARGV: who the hub is, the prefix of keys, the oldest time at which a hub counts.
# Return the others who are gone and have left entries. Those who left none are forgotten in the end.
LEFT_BEHIND = Script(
    _LIVES
    + """
local found = {}
for _, who in ipairs(redis.call('HKEYS', KEYS[1])) do
  if who ~= ARGV[1] and not lives(ARGV[2], who) then
    if redis.call('LLEN', ARGV[2] .. 'inbox:taken:' .. who) > 0 then
      found[#found + 1] = who
    else
      local seen = string.match(redis.call('HGET', KEYS[1], who), '^%d+')
      if not seen or tonumber(seen) < tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], who) end
    end
  end
end
return found
"""
)
