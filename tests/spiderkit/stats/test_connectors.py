"""Stats in a file, at a webhook, in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from reactorhub.spiderkit import JsonLinesConnector, MemoryConnector, WebhookConnector
from reactorhub.spiderkit.stats.connectors import MAX_UPLOADS, WebhookFailed
from tests.events.sink_cases import until


class MemoryTests(SynchronousTestCase):
    """The connector for tests."""

    def test_newest_and_all(self) -> None:
        """The newest stats of each id and all uploads can be read; their number is bounded."""
        memory = MemoryConnector()
        for number in range(MAX_UPLOADS + 5):
            memory.upload("a", {"n": number})
        self.assertEqual(memory.stats, {"a": {"n": MAX_UPLOADS + 4}})
        self.assertEqual((len(memory.uploads), memory.uploads[0]), (MAX_UPLOADS, ("a", {"n": 5})))


class JsonLinesTests(TestCase):
    """The connector that writes to a file."""

    async def test_lines(self) -> None:
        """Each upload is a whole line of JSON, also when many write at once; folders are made."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = Path(folder) / "deep" / "stats.jl"
        connectors = [JsonLinesConnector(path) for _ in range(4)]
        await gatherResults([each.upload(str(n), {"ü": "x" * 9000}) for each in connectors for n in range(5)])
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(sorted(line["spider_id"] for line in lines), sorted("01234" * 4))
        self.assertEqual((lines[0]["stats"]["ü"], lines[0]["uploaded_at"][:2]), ("x" * 9000, "20"))

    async def test_a_file_that_cannot_be_written(self) -> None:
        """The error is that of the system."""
        with self.assertRaises(OSError):
            await JsonLinesConnector("/proc/no/stats.jl").upload("a", {})


class Receiver(Resource):
    """Takes uploads, and answers with its ``status``, or not at all, or without end."""

    isLeaf = True
    status = 200
    endless = hangs_up = False

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []
        self.lost = 0

    def render_POST(self, request: Any) -> Any:
        """Take one."""
        self.got.append(
            (request.getHeader("content-type"), request.getHeader("x-token"), request.content.read())
        )
        request.notifyFinish().addErrback(self._lose)
        request.setResponseCode(self.status)
        if self.hangs_up:
            request.transport.abortConnection()
        if not self.status or self.hangs_up:
            return NOT_DONE_YET
        if self.endless:
            request.write(b"x" * 100_000)
            return NOT_DONE_YET
        return b"thanks"

    def _lose(self, _: object) -> None:
        self.lost += 1


class WebhookTests(TestCase):
    """The connector that posts."""

    def setUp(self) -> None:
        """Open a receiver."""
        self.receiver = Receiver()
        site = Site(self.receiver)
        site.log = lambda request: None  # type: ignore[method-assign]
        clock: Any = reactor
        self.port = clock.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/stats"

    async def test_posts(self) -> None:
        """The receiver gets JSON and the headers; the answer, even an endless one, is not read."""
        connector = WebhookConnector(self.url, headers={"X-Token": "t"})
        await connector.upload("a", {"n": 1})
        self.receiver.endless = True
        await connector.upload("b", {"n": 2})
        kinds = {got[:2] for got in self.receiver.got}
        bodies = [json.loads(got[2]) for got in self.receiver.got]
        self.assertEqual(kinds, {("application/json", "t")})
        self.assertEqual(
            [(body["spider_id"], body["stats"]) for body in bodies], [("a", {"n": 1}), ("b", {"n": 2})]
        )

    async def test_refused(self) -> None:
        """Another status than 2xx is a failure."""
        self.receiver.status = 503
        with self.assertRaisesRegex(WebhookFailed, "status 503"):
            await WebhookConnector(self.url).upload("a", {})

    async def test_hung_up(self) -> None:
        """A receiver that closes the connection is a failure with a reason that people can read."""
        self.receiver.hangs_up = True
        with self.assertRaisesRegex(ConnectionLost, "Connection to the other side was lost"):
            await WebhookConnector(self.url).upload("a", {})

    async def test_no_answer(self) -> None:
        """An upload that is cancelled closes its connection."""
        self.receiver.status = 0
        posting = WebhookConnector(self.url).upload("a", {})
        posting.addErrback(lambda _: None)
        await until(lambda: bool(self.receiver.got))
        posting.cancel()
        await until(lambda: self.receiver.lost == 1)

    def test_bad_url(self) -> None:
        """What is not a URL of the web is refused at once."""
        with self.assertRaisesRegex(ValueError, "http"):
            WebhookConnector("ftp://h")
