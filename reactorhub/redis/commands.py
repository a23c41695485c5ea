"""The commands that write the hub's Redis keys: Lua scripts and their arguments. Pure, no I/O.

A script replaces or appends atomically, so that no reader sees half a run. It can run again after a write
whose reply was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from reactorhub.model.run import FINAL, RunState
from reactorhub.model.values import View, time_text
from reactorhub.redis.fields import flattened, json_bytes, pairs
from reactorhub.spiderkit.connection.commands import Script, ScriptCall

HUB_TTL = 30  # seconds, fifteen heartbeats: a hub that is gone vanishes soon, a slow one does not
LOOK_BACK = 1000  # newest entries in which a repeated event is recognised: five full writes of events
_FINAL = sorted(state.value for state in FINAL)
_LIVE = sorted(state.value for state in RunState if state not in FINAL and state is not RunState.QUEUED)


def _lua_set(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = true" for name in names)


# KEYS: the run, the live runs, the spider's last runs[, the spider's latest stats]. ARGV: the run's id and
# state, for how many seconds runs and live runs are kept, how many last runs are kept, the run's fields, its
# stats, and for the latest stats: when the run started, and the hub's own fields. The run that started last
# keeps them. A late view of a run that has ended changes nothing. The clock is the server's: those of hubs
# differ.
SAVE_RUN = Script(
    f"""
local LIVE, FINAL = {{{_lua_set(_LIVE)}}}, {{{_lua_set(_FINAL)}}}
"""
    + """
local run, live, last, latest = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, state, run_ttl, live_ttl, started = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[8]
local had_ended = FINAL[redis.call('HGET', run, 'state')]
if had_ended and not FINAL[state] then return 0 end
redis.call('HSET', run, 'id', id)  -- a server that is out of memory refuses this, but no HSET after a DEL

local function replace(key, fields)
  redis.call('DEL', key)
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
end
local fields, stats = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
for i = 1, #stats, 2 do
  fields[#fields + 1] = 'stats/' .. stats[i]
  fields[#fields + 1] = stats[i + 1]
end
replace(run, fields)
redis.call('EXPIRE', run, run_ttl)

local now = redis.call('TIME')[1]
if LIVE[state] then redis.call('ZADD', live, now, id) else redis.call('ZREM', live, id) end
redis.call('ZREMRANGEBYSCORE', live, '-inf', '(' .. (now - live_ttl))
redis.call('EXPIRE', live, live_ttl)

if FINAL[state] and not had_ended then
  redis.call('LPUSH', last, id)
  redis.call('LTRIM', last, 0, ARGV[5] - 1)
  redis.call('EXPIRE', last, run_ttl)
end

if not latest then return 1 end
local known = redis.call('HMGET', latest, 'started_at', 'run_id')
if started .. id < (known[1] or '') .. (known[2] or '') then return 0 end
for _, entry in ipairs(cjson.decode(ARGV[9])) do stats[#stats + 1] = entry end
replace(latest, stats)
return 1
"""
)

# KEYS: the stream. ARGV: its length, how many entries to look back for events that are there already, the
# hub's name, then id, type and JSON of each event.
APPEND = Script("""
local seen = {}
if tonumber(ARGV[2]) > 0 then
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])) do
    if entry[2][4] == ARGV[3] then seen[entry[2][2]] = true end
  end
end
for i = 4, #ARGV, 3 do
  if not seen[ARGV[i]] then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
      'id', ARGV[i], 'hub', ARGV[3], 'type', ARGV[i + 1], 'event', ARGV[i + 2])
  end
end
return 1
""")


class EventText(NamedTuple):
    """An event as the stream stores it."""

    id: str
    type: str
    json: bytes


def event_text(event: View) -> EventText:
    """Return the stream entry of an event: its id and type beside its whole JSON."""
    return EventText(str(event["id"]), str(event["type"]), json_bytes(event))


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCommands:
    """Builds the commands that write runs and events. The times to live are in seconds.

    ``hub`` is the hub's name.
    """

    prefix: str
    hub: str
    run_ttl: int = 7 * 24 * 3600  # a week: long enough for dashboards, and the ledger has all runs anyway
    live_ttl: int = HUB_TTL
    max_last: int = 20
    max_events: int = 10_000  # about 10 MB with events of 1 KB

    def save_run(self, view: View, at: datetime) -> ScriptCall:
        """Replace ``run:<id>`` with this view, and its spider's ``stats:…`` unless a later run wrote it.

        A run that has not started has no stats and does not change those of its spider. A crawl under way is
        added to ``live``, and a run that ends to the spider's ``last:…``.
        """
        run_id, started, spider = view["id"], view["started_at"], f"{view['project']}:{view['spider']}"
        keys = [self._key("run", run_id), self._key("live"), self._key("last", spider)]
        if started is not None:
            keys.append(self._key("stats", spider))
        own = {
            "run_id": run_id,
            "hub": self.hub,
            "state": view["state"],
            "started_at": started,
            "updated_at": time_text(at),
        }
        hub = {"hub": self.hub}
        fields = flattened({**hub, **view, **hub, "stats": None})  # first: a hash has at most 500 fields
        stats = flattened({name: value for name, value in view["stats"].items() if name not in own})
        bounds = (self.run_ttl, self.live_ttl, self.max_last)
        texts = (pairs(fields), pairs(stats), started or "", pairs(own))
        return SAVE_RUN.call(keys, (run_id, view["state"], *bounds, *texts))

    def append_events(self, events: Sequence[EventText], again: bool) -> ScriptCall:
        """Append events to the stream. If ``again``, skip events that are among its newest entries."""
        look_back = LOOK_BACK if again else 0
        texts: Iterable[str | bytes] = chain.from_iterable(events)
        return APPEND.call([self._key("events")], (self.max_events, look_back, self.hub, *texts))

    def _key(self, *names: str) -> str:
        return self.prefix + ":".join(names)
