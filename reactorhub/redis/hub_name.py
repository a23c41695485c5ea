"""The hub's name in Redis: only one hub at a time has it.

The hub that has a name writes its heartbeat, which expires 30 seconds after the last one. Each heartbeat says
which process wrote it. A process that finds the heartbeat of another one does not overwrite it.

There is one exception. A hub that was killed leaves a heartbeat behind. The next process on the same data
folder takes the name over at once: the folder is locked, so the one that wrote the heartbeat is dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from twisted.logger import Logger

from reactorhub.redis.commands import HUB_TTL
from reactorhub.redis.fields import flattened, pairs
from reactorhub.spiderkit.connection.commands import Script, ScriptCall

# KEYS: the heartbeat, the names of all hubs, the live runs. ARGV: seconds to live, the hub's name, its
# instance, its folder, "1" if it may take the name over from an earlier process on the same folder, and the
# fields. Returns nothing, or who has the name. Times are the server's: the clocks of hubs differ. DEL comes
# first: a server that is out of memory refuses HSET, unless the script has written before. A hub that lives
# does not lose its name because memory is full.
BEAT = Script("""
local key, hubs, live, ttl = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
local held = redis.call('HMGET', key, 'instance', 'folder_id', 'host', 'pid', 'data_dir')
local same_folder = ARGV[5] == '1' and held[2] == ARGV[4]
if held[1] and held[1] ~= ARGV[3] and not same_folder then
  return {held[3] or '', held[4] or '', held[5] or ''}
end
redis.call('DEL', key)
redis.call('HSET', key, unpack(cjson.decode(ARGV[6])))
redis.call('EXPIRE', key, ttl)
local now = redis.call('TIME')[1]
redis.call('ZADD', hubs, now, ARGV[2])
for _, index in ipairs({hubs, live}) do
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. (now - ttl))
  redis.call('EXPIRE', index, ttl)
end
return {}
""")

# KEYS: the heartbeat, the names of all hubs. ARGV: the hub's instance and name.
LEAVE = Script("""
if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubIdentity:
    """Which process this hub is. ``instance`` is new with each start, ``folder_id`` the data folder's."""

    name: str
    instance: str
    folder_id: str = ""
    host: str = ""
    pid: int = 0
    data_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHolder:
    """Another process that has the hub's name."""

    host: str
    pid: str
    data_dir: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} with the data folder {self.data_dir}"


class HubName:
    """Builds the commands that take, keep and leave the name, and remembers who else has it.

    ``ttl`` is how many seconds a heartbeat lives.
    """

    _log = Logger()

    def __init__(self, identity: HubIdentity, prefix: str, ttl: int = HUB_TTL) -> None:
        self.holder: NameHolder | None = None
        self._identity = identity
        self._ttl = ttl
        self._key, self._hubs = f"{prefix}hub:{identity.name}", f"{prefix}hubs"
        self._live = f"{prefix}live"
        self._held_once = False

    def beat(self, view: Mapping[str, Any]) -> ScriptCall:
        """Return the command that takes or keeps the name. Pass its reply to :meth:`heard`."""
        who = self._identity
        take_over = b"0" if self._held_once else b"1"
        identity = asdict(who)
        fields = pairs(flattened({**identity, **view, **identity}))  # first: a hash has at most 500 fields
        return BEAT.call(
            (self._key, self._hubs, self._live),
            (self._ttl, who.name, who.instance, who.folder_id, take_over, fields),
        )

    def leave(self) -> ScriptCall:
        """Return the command that gives the name back, if this process has it."""
        return LEAVE.call((self._key, self._hubs), (self._identity.instance, self._identity.name))

    def heard(self, reply: Sequence[Any]) -> None:
        """Note the reply to a heartbeat. Log if another process has the name now, or no longer."""
        before, self.holder = self.holder, _holder(reply)
        self._held_once = self._held_once or self.holder is None
        if self.holder is not None and before is None:
            self._log.error("{conflict}: this hub writes no heartbeat", conflict=self.conflict)
        elif self.holder is None and before is not None:
            self._log.info("the name {name!r} is free again, and this hub has it", name=self._identity.name)

    @property
    def conflict(self) -> str | None:
        """A sentence if another process has the name, else None."""
        if self.holder is None:
            return None
        return f"another hub on this Redis has the hub.name {self._identity.name!r}, {self.holder}"


def _holder(reply: Sequence[Any]) -> NameHolder | None:
    if not reply:
        return None
    host, pid, data_dir = (value.decode("utf-8", "replace") for value in reply)
    return NameHolder(host=host, pid=pid, data_dir=data_dir)
