"""Starts real hubs: twistd processes with folders of their own, spoken to with plain blocking HTTP.

Every wait has an end, and looks at the process too: a hub that has died is reported with all it had said.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent
from typing import IO, Any, Self, TypeVar
from urllib.parse import urlsplit

from tests.support.stopwatch import Stopwatch
from tests.support.warm_start import WARM, WarmProcess

T = TypeVar("T")
Answer = tuple[int, Any]

TWISTD = str(Path(sys.executable).with_name("twistd"))
REACTORHUB = str(Path(sys.executable).with_name("reactorhub"))
CHECKOUT = Path(__file__).parents[2]
FINAL = frozenset({"succeeded", "failed", "cancelled", "timed_out", "interrupted"})
PLAIN = ("-n", "--pidfile=")
FRESH = os.environ.get("FRESH_HUBS") == "1"
"""Whether all hubs start with a new interpreter, and none as a fork; see :mod:`tests.support.warm_start`."""

START_WITHIN = 30.0  # seconds; a start takes one or two, but machines are shared


def until(look: Callable[[], T], within: float, what: str = "the condition") -> T:
    """Look again and again until there is something to see; return it.

    :raises AssertionError: after ``within`` seconds.
    """
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {within:g} seconds"
        time.sleep(0.02)
    return seen


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def write_project(folder: Path, **modules: str) -> Path:
    """Write a plain folder of spiders, one module for each keyword, and return it."""
    package = folder / "spiders"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for name, source in modules.items():
        (package / f"{name}.py").write_text(dedent(source))
    return folder


def start_fresh(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a command with a new interpreter. It ends with the process of the tests."""
    setpriv = shutil.which("setpriv")
    return subprocess.Popen(
        [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env=environment,
    )


class Hub:
    """A hub on the schedule file and the data folder in ``folder``. It may be started again after its end."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *options: str,
        http: str = "tcp:0",
        flags: Sequence[str] = PLAIN,
        environment: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        """
        :param config: the text of the schedule file.
        :param options: what is added to the command line of ``twistd reactorhub``.
        :param flags: twistd's own options.
        :param environment: variables that the process gets beside those of the tests.
        :param fresh: whether the process starts with a new interpreter, as a user's does, whatever that
            costs. A hub with flags or variables of its own always does.
        """
        self.folder = folder
        self.data = folder / "data"
        self.file = folder / "schedule.yaml"
        self.file.write_text(dedent(config))
        self._options = ["-c", str(self.file), "--data-dir", str(self.data), "--http", http, *options]
        self._flags = list(flags)
        self._environment = {**os.environ, **(environment or {})}
        self._fresh = fresh or FRESH or environment is not None or tuple(flags) != PLAIN
        self._facts: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | WarmProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- the process

    def launch(self) -> Self:
        """Start the process; returns at once."""
        assert self.process is None or self.process.poll() is not None, "this hub runs already"
        (self.data / "ready.json").unlink(missing_ok=True)
        self._facts = {}
        command = [TWISTD, *self._flags, "reactorhub", *self._options]
        start = start_fresh if self._fresh else WARM.start
        with (
            (self.folder / "output.txt").open("ab") as output,
            (self.folder / "errors.txt").open("ab") as errors,
        ):
            self.process = start(command, self.folder, self._environment, output, errors)
        return self

    def start(self) -> Self:
        """Start the process and wait until it takes orders."""
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self, within: float = START_WITHIN) -> None:
        """Wait until the hub says that it listens."""
        self._facts = until(self._ready, within, "the hub's readiness")

    def _ready(self) -> dict[str, Any]:
        assert self.process is not None
        status = self.process.poll()
        ended = status is not None and not (status == 0 and "-n" not in self._flags)
        assert not ended, f"the hub ended with status {status}:{self.said}"
        try:
            facts: dict[str, Any] = json.loads((self.data / "ready.json").read_text())
        except FileNotFoundError:
            return {}
        return facts

    @property
    def pid(self) -> int:
        """The hub's process id, as it says itself."""
        return int(self._facts["pid"])

    @property
    def shop(self) -> str:
        """The address of the bookshop that this hub serves."""
        return str(self._facts["demo_site"])

    @property
    def output(self) -> str:
        """All that the process has written to stdout, over all starts: with -n, its log."""
        return (self.folder / "output.txt").read_text(errors="replace")

    @property
    def errors(self) -> str:
        """All that the process has written to stderr, over all starts."""
        return (self.folder / "errors.txt").read_text(errors="replace")

    @property
    def said(self) -> str:
        """All that the process has written, for the message of a test that fails."""
        return f"\n{self.output}{self.errors}"

    def send(self, number: int) -> None:
        """Send the hub a signal."""
        os.kill(self.pid, number)

    def wait_end(self, within: float) -> int:
        """Wait for the process to end; return its exit status, negative where a signal ended it."""
        assert self.process is not None
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the hub still runs after {within:g} seconds:{self.said}") from None

    def terminate(self, number: int = signal.SIGTERM, within: float = 20.0) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.send(number)
        return self.wait_end(within)

    def kill9(self) -> None:
        """End the process as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End whatever is left of the process, daemon or not."""
        if self.process is not None and self.process.poll() is None:
            self.kill9()
        daemon = self._facts.get("pid")
        if daemon and (self.data / "ready.json").exists() and alive(daemon):
            os.kill(daemon, signal.SIGKILL)

    # -- HTTP

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 30.0, **headers: str) -> Answer:
        """Send one request; return the status and the body, parsed where it is JSON."""
        address = urlsplit(self._facts["http"])
        data = None if body is None else json.dumps(body)
        with closing(HTTPConnection(address.hostname or "", address.port, timeout=timeout)) as connection:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read().decode()
        kind = response.headers.get_content_type()
        return response.status, json.loads(text) if kind.endswith("json") else text

    def get(self, path: str, timeout: float = 30.0) -> Answer:
        """GET ``path``; return status and body."""
        return self.ask("GET", path, timeout=timeout)

    def post(self, path: str, body: Any = None) -> Answer:
        """POST JSON; return status and body."""
        return self.ask("POST", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        """PATCH with JSON; return status and body."""
        return self.ask("PATCH", path, body)

    def order(self, spider: str, args: dict[str, str] | None = None, **fields: Any) -> str:
        """Order a run of a spider, which is told where the bookshop is; return the run's id."""
        shop = {"shop": self.shop} if self._facts.get("demo_site") else {}
        status, view = self.post("/api/runs", {"spider": spider, "args": {**shop, **(args or {})}, **fields})
        assert status == 201, view
        return str(view["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run's view."""
        status, view = self.get(f"/api/runs/{run_id}")
        assert status == 200, view
        return dict(view)

    def wait_final(self, run_id: str, within: float = 30.0) -> dict[str, Any]:
        """Wait until a run is final; return its view.

        :param within: seconds, without those in which the hub or the run's process waited for a processor.
        """
        watch = Stopwatch(self.pid)
        while True:
            status, view = self.get(f"/api/runs/{run_id}?wait={within:g}", timeout=within + 30)
            assert status == 200, view
            if view["state"] in FINAL:
                return dict(view)
            if view["pid"] is not None:
                watch.add(view["pid"])
            assert watch.seconds < within, f"still {view['state']} after {within:g} seconds:{self.said}"

    def wait_state(self, run_id: str, state: str, within: float = 10.0) -> dict[str, Any]:
        """Wait until a run is in a state; return its view."""

        def look() -> dict[str, Any] | None:
            view = self.run(run_id)
            return view if view["state"] == state else None

        return until(look, within, f"state {state}") or {}

    def wait_all_final(self, count: int, within: float) -> list[dict[str, Any]]:
        """Wait until the ledger holds ``count`` final runs; return their rows, oldest first."""

        def look() -> bool:
            runs = self.get("/api/status")[1]["runs"]
            return sum(int(runs[state]) for state in FINAL) >= count

        until(look, within, f"the end of {count} runs")
        return self.ledger("SELECT * FROM runs ORDER BY seq")

    # -- files

    def ledger(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Read the ledger with SQL; return the rows."""
        place = f"{(self.data / 'hub.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]

    def run_file(self, kind: str, run_id: str) -> Path:
        """Return the path of a run's file: ``logs`` or ``items``."""
        found = list((self.data / kind).rglob(f"{run_id}.*"))
        assert len(found) == 1, f"{len(found)} files of run {run_id} below {kind}"
        return found[0]

    def log(self, run_id: str) -> str:
        """Return the text of a run's log."""
        return self.run_file("logs", run_id).read_text()

    def items(self, run_id: str) -> list[Any]:
        """Return a run's items."""
        return [json.loads(line) for line in self.run_file("items", run_id).read_text().split("\n") if line]


def seconds_to_end(hub: Hub, number: int = signal.SIGTERM, within: float = 60.0) -> tuple[int, float]:
    """Send a signal and wait for the end; return the exit status, and the seconds that the hub needed."""
    watch = Stopwatch(hub.pid)
    hub.send(number)
    found: list[float] = []

    def ended() -> bool:
        found.append(watch.seconds)
        return hub.process is not None and hub.process.poll() is not None

    until(ended, within, f"the end of the hub:{hub.said}")
    return hub.wait_end(0), found[-1]


def refused(folder: Path, config: str, *options: str, **choices: Any) -> tuple[int, Hub]:
    """Start a hub that is expected to end by itself; return its exit status and what is left of it."""
    folder.mkdir(exist_ok=True)
    hub = Hub(folder, config, *options, **choices)
    try:
        status = hub.launch().wait_end(START_WITHIN)
    finally:
        hub.close()
    return status, hub
