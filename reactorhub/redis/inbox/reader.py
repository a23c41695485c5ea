"""Looks into Redis twice a second for orders and limits, and hands on what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from reactorhub.model.values import time_text
from reactorhub.redis.inbox import scripts
from reactorhub.redis.inbox.inbox import Taking
from reactorhub.redis.inbox.keys import InboxKeys, hub_text, hubs_with
from reactorhub.redis.inbox.owner import Bad, InboxOwner, LimitsOwner, NotNow, Unknown, Verdict, Wanted
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.spiderkit.connection.errors import RedisRefused, RedisUnavailable

POLL = 0.4  # seconds between two looks: a new limit is in force within a second
AFTER_TROUBLE = 0.8  # seconds
STOP_WITHIN = 1.0  # seconds
PATIENCE = 10.0  # seconds for which an entry that no hub knows waits for one that is starting
EVERY = 5.0  # seconds between two looks for hubs that are gone, and for spiders that are new here
REGISTER = 60.0  # seconds after which a hub says again that it reads the inbox
MEMORY = 86_400  # seconds for which entries wait for a hub that has their spider and is away
FORGET = 30 * MEMORY  # seconds after which a hub that is away is forgotten
MAX_OTHERS = 1_000  # entries for other hubs behind which this hub looks for its own


class RedisReader:
    """Reads the inbox and the limits. ``clock`` is the reactor, ``now`` the wall clock.

    It does not start or stop ``client``. Trouble is logged once, and is over with the first look that works.
    """

    _log = Logger()

    def __init__(
        self,
        client: RedisClient,
        keys: InboxKeys,
        clock: Any,
        now: Callable[[], datetime],
        *,
        limits: LimitsOwner,
        inbox: InboxOwner | None,
        new_id: Callable[[], str],
    ) -> None:
        """
        :param inbox: turns entries into runs; None if the inbox is not to be read.
        :param new_id: returns an id for an entry that has none.
        """
        self.trouble: str | None = None
        self._client = client
        self._keys = keys
        self._clock = clock
        self._now = now
        self._limits = limits
        self._taking: Taking | None = None
        if inbox is not None:
            self._taking = Taking(client, keys, inbox, new_id, lambda: time_text(now()) or "")
        self._unknown: dict[bytes, _Seen] = {}
        self._spiders: tuple[str, ...] = ()
        self._asked = self._registered = self._looked_for_gone = float("-inf")
        self._stopping = False
        self._pause: Deferred[None] = succeed(None)
        self._over: Deferred[None] = succeed(None)

    def start(self) -> None:
        """Begin to look."""
        self._over = Deferred.fromCoroutine(self._serve())

    async def stop(self) -> None:
        """Look no more. Returns once the look under way is over; after a second that is cut off.

        It may be cut off at any point: the next start goes on there.
        """
        self._stopping = True
        self._pause.cancel()
        bound = self._clock.callLater(STOP_WITHIN, self._over.cancel)
        await self._over
        if bound.active():
            bound.cancel()

    async def _serve(self) -> None:
        while not self._stopping:
            try:
                rest = 0 if await self.look() else POLL
            except CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may work
                self._note(error)
                rest = AFTER_TROUBLE
            else:
                self._note_end()
            await self._rest(rest)

    async def _rest(self, seconds: float) -> None:
        if self._stopping:
            return
        self._pause = deferLater(self._clock, seconds)
        try:
            await self._pause
        except CancelledError:
            return

    async def look(self) -> bool:
        """Read everything once. Return whether there may be more to take at once.

        :raises NotNow: if the owner of inbox or limits cannot take what was read. It is still in Redis.
        :raises RedisUnavailable: if Redis does not answer.
        :raises RedisRefused: if Redis cannot write, or a key is of another kind.
        """
        keys = self._keys
        known, taken, common, own, limits, own_limits = await self._client.run(
            scripts.LOOK,
            [keys.inbox, keys.own, keys.limits, keys.own_limits, keys.hubs, keys.taken(keys.me)],
            [keys.me],
        )
        if not any(isinstance(each, bytes) for each in (limits, own_limits)):
            await self._limits.hear_limits({**_words(limits), **_words(own_limits)}, data_lost=not known)
        if self._taking is None:
            await self._register(tuple, known=bool(known))
            more = False
        else:
            more = await self._read_inbox(self._taking, bool(known), taken, common, own)
        wrong = [each for each in (common, own, limits, own_limits) if isinstance(each, bytes)]
        if wrong:
            raise RedisRefused("; ".join(each.decode("utf-8", "replace") for each in wrong))
        return more

    async def _read_inbox(self, taking: Taking, known: bool, taken: int, common: Any, own: Any) -> bool:
        inbox, more = taking.owner, False
        if taken or inbox.held():
            await taking.settle()
        if taken > scripts.AT_ONCE:
            return True  # what was taken before comes first
        await self._register(inbox.spiders, known=known)  # before it takes anything: others look for it
        if inbox.places() < 1:
            return False
        for source, entries in ((self._keys.own, own), (self._keys.inbox, common)):
            if isinstance(entries, list) and entries:
                more = await self._read_list(taking, source, entries) or more
        if not more and self._clock.seconds() - self._looked_for_gone >= EVERY:
            self._looked_for_gone = self._clock.seconds()
            more = await self._look_for_gone(taking)
        return more

    async def _read_list(self, taking: Taking, source: str, entries: list[Any]) -> bool:
        """Take what is for this hub. Return whether there may be more."""
        start = 0
        while entries and start < MAX_OTHERS:
            if None in entries:
                await taking.bury_long(source)
                return True
            if await self._handle(taking, source, entries):
                return True
            if not all(entry in self._unknown for entry in entries):
                return False  # there is no place for the others
            start += len(entries)
            entries = await self._client.run(scripts.MORE, [source], [start])
        return False

    async def _handle(self, taking: Taking, source: str, entries: list[bytes]) -> bool:
        verdicts = [(entry, self._verdict(taking.owner, entry)) for entry in entries]
        bad = [(entry, verdict.reason) for entry, verdict in verdicts if isinstance(verdict, Bad)]
        bad += await self._nobodys(source, verdicts)
        if bad:
            await taking.bury(source, [(entry, entry, source, reason, "") for entry, reason in bad])
        wanted = [(entry, verdict.id) for entry, verdict in verdicts if isinstance(verdict, Wanted)]
        wanted = wanted[: taking.owner.places()]
        if wanted:
            await taking.take(source, wanted)
        return bool(bad or wanted)

    def _verdict(self, inbox: InboxOwner, entry: bytes) -> Verdict:
        seen = self._unknown.get(entry)
        if seen is not None:
            return seen.verdict
        verdict = inbox.judge(entry)
        if isinstance(verdict, Unknown):
            self._unknown[entry] = _Seen(self._clock.seconds(), verdict)
            while len(self._unknown) > 2 * MAX_OTHERS:
                del self._unknown[next(iter(self._unknown))]
        return verdict

    async def _nobodys(self, source: str, verdicts: list[tuple[bytes, Verdict]]) -> list[tuple[bytes, str]]:
        """Return the entries, with the reason, whose spider no hub has had for a day."""
        due = self._clock.seconds() - PATIENCE
        old = {entry: self._unknown[entry] for entry, _ in verdicts if entry in self._unknown}
        old = {entry: seen for entry, seen in old.items() if seen.since <= due}
        if not old:
            return []
        hubs = await self._others() if source == self._keys.inbox else {}
        lately = int(self._now().timestamp()) - MEMORY
        for entry, seen in old.items():
            self._unknown[entry] = _Seen(self._clock.seconds(), seen.verdict)  # asks again after as long
        return [
            (entry, seen.verdict.reason)
            for entry, seen in old.items()
            if not hubs_with(hubs, seen.verdict.spider, lately)
        ]

    async def _others(self) -> dict[str, bytes]:
        """Return the other hubs that read the inbox, see :func:`hubs_with`."""
        flat = await self._client.execute("HGETALL", self._keys.hubs)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        others = {name.decode("utf-8", "replace"): text for name, text in pairs}
        others.pop(self._keys.me, None)
        return others

    async def _register(self, spiders: Callable[[], tuple[str, ...]], *, known: bool) -> None:
        """Say in Redis that this hub reads the inbox, and which spiders it has.

        :param spiders: called from time to time only, because a hub may have thousands of spiders.
        """
        now = self._clock.seconds()
        if now - self._asked >= EVERY:
            self._asked, before, self._spiders = now, self._spiders, spiders()
            if before != self._spiders:
                self._registered = float("-inf")
                self._unknown.clear()
        if known and now - self._registered < REGISTER:
            return
        text = hub_text(int(self._now().timestamp()), self._spiders)
        await self._client.execute("HSET", self._keys.hubs, self._keys.me, text)
        self._registered = now

    async def _look_for_gone(self, taking: Taking) -> bool:
        oldest = int(self._now().timestamp()) - FORGET
        hubs = await self._client.run(
            scripts.LEFT_BEHIND, [self._keys.hubs], [self._keys.me, self._keys.prefix, oldest]
        )
        back = 0
        for each in hubs:
            who = each.decode("utf-8", "replace")
            if count := await taking.give_back(who):
                name = who.partition("/")[0]
                self._log.info("{count} entries that hub {hub} had taken wait again", count=count, hub=name)
            back += count
        return back > 0

    def _note(self, error: Exception) -> None:
        if isinstance(error, RedisUnavailable) or (isinstance(error, NotNow) and not error.trouble):
            return  # whoever started the client says so; a full queue is no trouble
        trouble = str(error) or type(error).__name__
        if trouble != self.trouble and isinstance(error, RedisRefused | NotNow):
            self._log.warn("the inbox in Redis waits: {trouble}", trouble=trouble)
        elif trouble != self.trouble:
            self._log.failure("the inbox in Redis waits because of a bug in the hub")
        self.trouble = trouble

    def _note_end(self) -> None:
        if self.trouble is not None:
            self._log.info("the inbox in Redis is read again")
        self.trouble = None


class _Seen(NamedTuple):
    """An entry that may be another hub's: since when it is known, and what was said of it."""

    since: float
    verdict: Unknown


def _words(flat: list[bytes]) -> Mapping[str, str]:
    texts = [word.decode("utf-8", "backslashreplace") for word in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
