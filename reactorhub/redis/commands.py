"""The commands that write the hub's Redis keys: Lua scripts and their arguments. Pure, no I/O.

A script replaces or appends atomically, so that no reader sees half a run. It can run again after a write
whose reply was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from reactorhub.model.values import View, time_text
from reactorhub.redis.fields import flattened, json_bytes
from reactorhub.spiderkit.connection.commands import Script, ScriptCall

LOOK_BACK = (
    1000  # newest entries in which a repeated event is recognised: five full writes (EVENTS_PER_WRITE)
)

# KEYS: the hash to replace[, the spider's latest stats]. ARGV: seconds to live, fields, stats, and for the
# latest stats: when the run started, its id, and the hub's own fields. The run that started last keeps them.
REPLACE = Script("""
local function replace(key, fields)
  redis.call('DEL', key)
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
end
local fields, stats = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])
for i = 1, #stats, 2 do
  fields[#fields + 1] = 'stats/' .. stats[i]
  fields[#fields + 1] = stats[i + 1]
end
replace(KEYS[1], fields)
redis.call('EXPIRE', KEYS[1], ARGV[1])
if not KEYS[2] then return 1 end
local known = redis.call('HMGET', KEYS[2], 'started_at', 'run_id')
if ARGV[4] .. ARGV[5] < (known[1] or '') .. (known[2] or '') then return 0 end
for _, entry in ipairs(cjson.decode(ARGV[6])) do stats[#stats + 1] = entry end
replace(KEYS[2], stats)
return 1
""")

# KEYS: the stream. ARGV: its length, how many entries to look back for events that are there already,
# then id, type and JSON of each event.
APPEND = Script("""
local seen = {}
if tonumber(ARGV[2]) > 0 then
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])) do
    seen[entry[2][2]] = true
  end
end
for i = 3, #ARGV, 3 do
  if not seen[ARGV[i]] then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
      'id', ARGV[i], 'type', ARGV[i + 1], 'event', ARGV[i + 2])
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


def _pairs(fields: Mapping[str, Any]) -> bytes:
    return json_bytes(list(chain.from_iterable(fields.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisCommands:
    """Builds the commands that write the hub's keys. The times to live are in seconds."""

    prefix: str
    run_ttl: int = 7 * 24 * 3600  # a week: long enough for dashboards, and the ledger has all runs anyway
    hub_ttl: int = 30  # fifteen heartbeats: a hub that is gone vanishes soon, a slow one does not
    max_events: int = 10_000  # about 10 MB with events of 1 KB

    def save_run(self, view: View, at: datetime) -> ScriptCall:
        """Replace ``run:<id>`` with this view, and its spider's ``stats:…`` unless a later run wrote it.

        A run that has not started has no stats and does not change those of its spider.
        """
        keys = [f"{self.prefix}run:{view['id']}"]
        started = view["started_at"]
        if started is not None:
            keys.append(f"{self.prefix}stats:{view['project']}:{view['spider']}")
        own = {
            "run_id": view["id"],
            "state": view["state"],
            "started_at": started,
            "updated_at": time_text(at),
        }
        fields = flattened({name: value for name, value in view.items() if name != "stats"})
        stats = flattened({name: value for name, value in view["stats"].items() if name not in own})
        texts = (_pairs(fields), _pairs(stats), started or "", view["id"], _pairs(own))
        return REPLACE.call(keys, (self.run_ttl, *texts))

    def save_hub(self, view: View) -> ScriptCall:
        """Replace ``hub:<name>`` with the hub's heartbeat."""
        key = f"{self.prefix}hub:{view['name']}"
        return REPLACE.call([key], (self.hub_ttl, _pairs(flattened(view)), b"[]"))

    def append_events(self, events: Sequence[EventText], again: bool) -> ScriptCall:
        """Append events to the stream. If ``again``, skip events that are among its newest entries."""
        look_back = LOOK_BACK if again else 0
        texts: Iterable[str | bytes] = chain.from_iterable(events)
        return APPEND.call([f"{self.prefix}events"], (self.max_events, look_back, *texts))
