"""What a hub reads from Redis: orders for runs and limits, as far as its file says so."""

from __future__ import annotations

from reactorhub.config import HubConfig
from reactorhub.hub.hub import Hub
from reactorhub.hub.inbox import HubInbox, HubLimits
from reactorhub.hub.status import HubParts
from reactorhub.redis.inbox.keys import InboxKeys
from reactorhub.redis.inbox.reader import RedisReader
from reactorhub.spiderkit.connection.client import RedisClient
from reactorhub.storage.folder_id import folder_id

_NOT_READ = (
    "the hub no longer reads the inbox in Redis, from which the order came; the order still waits there"
)


class RedisInputs:
    """Reads the inbox and the limits in Redis for a hub."""

    def __init__(self, config: HubConfig, hub: Hub, parts: HubParts, client: RedisClient | None) -> None:
        """:param client: None if the hub has no Redis. It is neither started nor stopped here."""
        services = parts.services
        self._inbox = HubInbox(hub, parts.dispatcher, services.engine, services.now)
        self._reads_inbox = config.redis is not None and config.redis.inbox
        self.reader: RedisReader | None = None
        if config.redis is not None and client is not None:
            self.reader = RedisReader(
                client,
                InboxKeys(config.redis.prefix, config.name, folder_id(config.data_dir)),
                services.clock,
                services.now,
                limits=HubLimits(hub),
                inbox=self._inbox if self._reads_inbox else None,
                new_id=parts.new_id,
            )

    def trouble(self) -> str | None:
        """Return why orders in Redis have to wait; None if they need not."""
        return None if self.reader is None else self.reader.trouble

    def start(self) -> None:
        """Begin to read. Runs whose order nobody can confirm any more are cancelled."""
        if not self._reads_inbox:
            self._inbox.withdraw_all(_NOT_READ)
        if self.reader is not None:
            self.reader.start()

    async def stop(self) -> None:
        """Read no more. Returns once what was read last is dealt with."""
        if self.reader is not None:
            await self.reader.stop()
