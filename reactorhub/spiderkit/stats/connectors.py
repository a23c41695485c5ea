"""Where stats go, apart from Redis: a file of JSON lines, a webhook, the memory of a test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from reactorhub.spiderkit.connection.delays import utc_now
from reactorhub.spiderkit.stats.plain import Plain, json_text

MAX_UPLOADS = 1_000  # that a MemoryConnector keeps


def _record(spider_id: str, stats: Plain) -> bytes:
    return json_text({"spider_id": spider_id, "uploaded_at": utc_now().isoformat(), "stats": stats}).encode()


class JsonLinesConnector:
    """Appends a line ``{"spider_id", "uploaded_at", "stats"}`` to the file ``path`` for each upload.

    Several processes may append to one file: each line is written at once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def upload(self, spider_id: str, stats: Plain) -> Deferred[None]:
        """Append the line, in a thread.

        :raises OSError: if the file cannot be written.
        """
        return deferToThread(self._append, _record(spider_id, stats) + b"\n")

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
        if written < len(line):
            raise OSError(f"only a part of a line could be written to {self._path}")


class WebhookFailed(Exception):
    """The receiver of a webhook did not take the stats."""


class WebhookConnector:
    """Sends ``{"spider_id", "uploaded_at", "stats"}`` as JSON to ``url`` by POST, with ``headers``.

    :raises ValueError: if the URL is not one of http or https.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        if not str(url).startswith(("http://", "https://")):
            raise ValueError("url must begin with http:// or https://")
        self._url = str(url).encode()
        self._headers = {"Content-Type": "application/json", "User-Agent": "reactorhub", **(headers or {})}

    def upload(self, spider_id: str, stats: Plain) -> Deferred[None]:
        """Send the stats.

        :raises WebhookFailed: if the answer is not one of the kind 2xx.
        :raises Exception: any error of Twisted while connecting and sending.
        """
        return Deferred.fromCoroutine(self._post(_record(spider_id, stats)))

    async def _post(self, body: bytes) -> None:
        from reactorhub.spiderkit.stats.http import post  # noqa: PLC0415 - it needs the reactor

        status = await post(self._url, self._headers, body)
        if not 200 <= status < 300:
            raise WebhookFailed(f"the receiver answered with status {status}")


class MemoryConnector:
    """Keeps stats in memory, for tests.

    ``stats`` has the newest stats of each spider id, ``uploads`` the newest 1,000 uploads in their order. A
    test finds it as ``crawler.get_extension(StatsUploader).connector``.
    """

    def __init__(self) -> None:
        self.stats: dict[str, Plain] = {}
        self.uploads: list[tuple[str, Plain]] = []

    def upload(self, spider_id: str, stats: Plain) -> None:
        """Keep the stats."""
        self.stats[spider_id] = stats
        self.uploads.append((spider_id, stats))
        del self.uploads[:-MAX_UPLOADS]
