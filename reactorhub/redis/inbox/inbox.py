"""The inbox: a list in Redis whose entries become runs, each exactly once and in order.

An entry goes through these steps, and the process or Redis may die between any two of them:

1. A script moves it from the inbox to this hub's list of taken entries, and claims its id for this hub.
2. The owner makes its run durable. The run may not start yet.
3. A script removes it from the taken entries, if the id is still claimed for this hub.
4. The run may start. If the id belongs to another hub, the run is withdrawn instead.

Whatever is found in the list of taken entries, or held by the owner, continues with step 2 or 3. The id makes
step 2 repeatable. Another hub may give back what a hub has taken and not confirmed, once its heartbeat is
gone. The claim decides, so that it does no harm if that hub was only slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reactorhub.redis.inbox import scripts
from reactorhub.redis.inbox.keys import InboxKeys, Taken, read_taken
from reactorhub.redis.inbox.owner import Accepted, Bad, InboxOwner, NotNow, Unknown
from reactorhub.spiderkit.connection.client import RedisClient


class Taking:
    """Carries entries from the inbox to its owner."""

    def __init__(
        self,
        client: RedisClient,
        keys: InboxKeys,
        owner: InboxOwner,
        new_id: Callable[[], str],
        moment: Callable[[], str],
    ) -> None:
        """
        :param new_id: returns an id for an entry that has none.
        :param moment: returns the time as text.
        """
        self._client = client
        self._keys = keys
        self.owner = owner
        self._new_id = new_id
        self._moment = moment

    async def take(self, source: str, wanted: Sequence[tuple[bytes, str | None]]) -> None:
        """Turn entries of a list into runs, in order. ``wanted`` has each entry with its id.

        :raises NotNow: if the owner cannot accept them. They are back in their list.
        :raises RedisUnavailable: if Redis does not answer. Call :meth:`settle` when it does.
        :raises RedisRefused: if Redis cannot write.
        """
        taken = [Taken(source, chosen or self._new_id(), entry) for entry, chosen in wanted]
        words = [word for each in taken for word in (each.entry, each.id, each.record)]
        keys = self._keys
        replies = await self._client.run(
            scripts.TAKE, [source, keys.taken(keys.me), keys.ids, keys.times], [keys.me, *words]
        )
        await self._finish([each for each, reply in zip(taken, replies, strict=True) if reply == 1])

    async def settle(self) -> None:
        """Finish what earlier attempts have left: entries that are not confirmed, and held runs."""
        mine = self._keys.taken(self._keys.me)
        records = await self._client.execute("LRANGE", mine, 0, scripts.AT_ONCE - 1)
        await self._finish(await self._readable(mine, records))
        await self._confirm([(run.id, b"", run.run_id, run.young) for run in self.owner.held()])

    async def give_back(self, who: str) -> int:
        """Give back what somebody has taken and not confirmed, and who is gone.

        What was for a hub of this name alone goes back only if this hub has the name.

        :return: how many entries.
        """
        records = await self._client.execute("LRANGE", self._keys.taken(who), 0, scripts.AT_ONCE - 1)
        taken = []
        for record in records:
            try:
                taken.append(read_taken(record))
            except ValueError:
                continue  # its own hub makes it a dead letter
        mine = {self._keys.inbox, *([self._keys.own] if who.startswith(f"{self._keys.hub}/") else [])}
        back = [each for each in taken if each.source in mine]
        return max(0, await self._give_back(back, of=who)) if back else 0

    async def bury(self, key: str, entries: Sequence[tuple[bytes, bytes, str, str, str]]) -> None:
        """Make dead letters of elements of a list.

        :param entries: element, entry, where it came from, reason, and an id that becomes free, of each.
        """
        keys = self._keys
        words = [word for entry in entries for word in entry]
        await self._client.run(scripts.BURY, [key, keys.dead, keys.ids, keys.times], [self._moment(), *words])

    async def bury_long(self, source: str) -> None:
        """Make dead letters of the entries at the head of a list that are too long."""
        reason = f"the entry is longer than {scripts.MAX_ENTRY:,} bytes; only its beginning is kept"
        await self._client.run(scripts.BURY_LONG, [source, self._keys.dead], [self._moment(), reason])

    async def _readable(self, mine: str, records: Sequence[bytes]) -> list[Taken]:
        readable, unreadable = [], []
        for record in records:
            try:
                readable.append(read_taken(record))
            except ValueError as error:
                unreadable.append((record, record, self._keys.inbox, str(error), ""))
        if unreadable:
            await self.bury(mine, unreadable)
        return readable

    async def _finish(self, taken: Sequence[Taken]) -> None:
        if not taken:
            return
        try:
            outcomes = await self.owner.accept([(each.id, each.entry) for each in taken])
        except NotNow:
            await self._give_back(taken)
            raise
        pairs = list(zip(taken, outcomes, strict=True))
        unknown = [each for each, outcome in pairs if isinstance(outcome, Unknown)]
        if unknown:
            await self._give_back(unknown)
        bad = [(each, outcome) for each, outcome in pairs if isinstance(outcome, Bad)]
        if bad:
            mine = self._keys.taken(self._keys.me)
            await self.bury(
                mine, [(each.record, each.entry, each.source, why.reason, each.id) for each, why in bad]
            )
        await self._confirm(
            [
                (each.id, each.record, outcome.run_id, True)
                for each, outcome in pairs
                if isinstance(outcome, Accepted)
            ]
        )

    async def _confirm(self, entries: Sequence[tuple[str, bytes, str, bool]]) -> None:
        """Confirm entries: id, record, run, and whether the claim may be renewed. Then the runs may start."""
        keys = self._keys
        for start in range(0, len(entries), scripts.AT_ONCE):
            some = entries[start : start + scripts.AT_ONCE]
            words = [word for entry in some for word in (*entry[:3], int(entry[3]))]
            owners = await self._client.run(
                scripts.CONFIRM, [keys.taken(keys.me), keys.ids, keys.times], [keys.me, *words]
            )
            owned = [(run_id, owner) for (_, _, run_id, _), owner in zip(some, owners, strict=True) if run_id]
            self.owner.confirm([run_id for run_id, owner in owned if owner == keys.me.encode()])
            for run_id, owner in owned:
                if owner != keys.me.encode():
                    self.owner.withdraw(run_id, _why_withdrawn(owner))

    async def _give_back(self, taken: Sequence[Taken], of: str = "") -> int:
        keys = self._keys
        words = [
            word
            for each in reversed(taken)
            for word in (each.record, each.id, each.source, self.owner.with_id(each.entry, each.id))
        ]
        reply: int = await self._client.run(
            scripts.GIVE_BACK, [keys.taken(of or keys.me), keys.ids, keys.times], [keys.prefix, of, *words]
        )
        return reply


def _why_withdrawn(owner: bytes | None) -> str:
    if owner is None:
        return "the hub was away for longer than the inbox knows the ids of its entries"
    hub = owner.decode("utf-8", "replace").partition("/")[0]
    return f"the hub {hub} has taken this entry of the inbox over"
