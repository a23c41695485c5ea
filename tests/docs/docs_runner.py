"""Reads the fenced blocks of the documentation, and follows a page the way its reader would.

A block says what it is in its info string, ``yaml fragment=hub`` for one: a kind, then options. In a block of
kind ``console`` a line that begins with ``$`` is a command, ``>`` goes on with it, and the other lines are
what it prints. There ``...`` stands for anything; in JSON, for further keys, further entries, or a value.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.integration.hubs import CHECKOUT, FRESH, Hub, alive, until
from tests.support.redis_server import free_port
from tests.support.warm_start import WARM

KINDS: Mapping[str, frozenset[str]] = {
    "yaml": frozenset({"fragment", "save", "broken"}),
    "console": frozenset(),
    "python": frozenset({"save"}),
    "text": frozenset(),  # what no test can run, and drawings
}
STARTED_BY_READER = "<!-- the reader starts the hub -->"
ON_ITS_OWN_FILE = "<!-- the hub runs the file of this page -->"
CONFIG = "schedule.yaml"
AT_START = "    run_on_start: true\n"
MAX_SECONDS = 180.0  # seconds for all commands of a page; ten are usual, but machines are shared
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"
_END = re.compile(rf"\n{_MARK}(\d+)\n")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. ``line`` is that of its first line of text; an option without a value is empty."""

    page: str
    line: int
    kind: str
    options: Mapping[str, str]
    text: str

    @property
    def where(self) -> str:
        """Where it stands, for people."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """A command for bash, and what it prints; None where that does not matter."""

    where: str
    command: str
    expected: str | None = None


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    source = page.read_text("utf-8")
    name = str(page.relative_to(CHECKOUT))
    return [_block(name, source[: match.start()].count("\n") + 2, match) for match in _FENCE.finditer(source)]


def _block(page: str, line: int, match: re.Match[str]) -> Block:
    kind, *options = match["info"].split() or [""]
    pairs = (option.partition("=") for option in options)
    return Block(page, line, kind, {name: value for name, _, value in pairs}, match["text"])


def steps(block: Block) -> list[Step]:
    """Return what a reader of this block does."""
    if "save" in block.options:
        return [_fed(block, f"cat > {block.options['save']}")]
    if block.kind == "python":
        return [_fed(block, "python3 -")]
    return list(_commands(block)) if block.kind == "console" else []


def _fed(block: Block, command: str) -> Step:
    return Step(block.where, f"{command} <<'THE_END'\n{block.text}THE_END", "")


def _commands(block: Block) -> Iterator[Step]:
    line, lines = block.line, block.text.splitlines()
    assert lines[:1] and lines[0].startswith("$ "), f"{block.where}: begin with a command after '$ '"
    while lines:
        where, command = f"{block.page}:{line}", [lines.pop(0)[2:]]
        while lines and lines[0].startswith("> "):
            command.append(lines.pop(0)[2:])
        printed = []
        while lines and not lines[0].startswith("$ "):
            printed.append(lines.pop(0))
        line += len(command) + len(printed)
        yield Step(where, "\n".join(command), "\n".join(printed))


def matches(expected: str, printed: str) -> bool:
    """Whether a command printed what the page shows."""
    expected, printed = expected.strip(), printed.strip()
    if expected.startswith(("{", "[")):
        with suppress(ValueError):
            return _like(_documents(_quoted(expected)), _documents(printed))
    pattern = "".join(map(_pattern, expected.splitlines(keepends=True)))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def _pattern(line: str) -> str:
    if line == "...\n":
        return "(?:.*\n)??"  # lines, or none
    return ".*?".join(map(re.escape, line.split("...")))


def _quoted(text: str) -> str:
    """Make JSON of JSON with ``...`` in it."""

    def quoted(match: re.Match[str]) -> str:
        if match[0] != "...":
            return match[0]
        is_key = not text[: match.start()].rstrip().endswith(":") and text[match.end() :].lstrip()[:1] == "}"
        return '"...": 0' if is_key else '"..."'

    return _TOKEN.sub(quoted, text)


def _documents(text: str) -> list[Any]:
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def _like(shown: Any, real: Any) -> bool:
    match shown:
        case dict():
            named = shown.keys() - {"..."}
            if not isinstance(real, dict) or not (named == real.keys() if "..." not in shown else True):
                return False
            return all(name in real and _like(shown[name], real[name]) for name in named)
        case [*first, "..."]:
            return isinstance(real, list) and _like(first, real[: len(first)])
        case list():
            return (
                isinstance(real, list)
                and len(shown) == len(real)
                and all(_like(*pair) for pair in zip(shown, real, strict=True))
            )
        case str() if "..." in shown:
            return shown == "..." or (isinstance(real, str) and matches(shown, real))
    return type(shown) is type(real) and bool(shown == real)


def own_file(page: Path) -> str | None:
    """Return the schedule file that a page's hub runs, if the page says that it is one of its own."""
    if ON_ITS_OWN_FILE not in page.read_text("utf-8").splitlines():
        return None
    return next(block.text for block in blocks(page) if block.options.get("save") == CONFIG)


@contextmanager
def practice(*, started: bool, config: str | None = None) -> Iterator[PracticeGround]:
    """Make a copy of what a fresh clone has, with a hub running in it if ``started``.

    :param config: the text of the schedule file; None for the shipped one.
    """
    with TemporaryDirectory(prefix="docs-") as name:
        ground = PracticeGround(Path(name), config)
        try:
            if started:
                ground.hub.start()
            yield ground
        finally:
            ground.close()


def _with_a_short_start(config: str) -> str:
    """Let the crawl that begins with the hub read one page of the shop instead of 25."""
    assert AT_START in config
    return config.replace(AT_START, f"{AT_START}    args: {{max_pages: 1}}\n")


class PracticeGround:
    """A folder with a schedule file and the example project, on ports of its own."""

    def __init__(self, folder: Path, config: str | None = None) -> None:
        self.folder = folder
        self._ports = {port: f":{free_port()}" for port in (":6800", ":6801", ":6802")}
        for source in (CHECKOUT / "spiders").rglob("*"):
            if source.suffix in (".py", ".cfg"):
                copy = folder / source.relative_to(CHECKOUT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.here(source.read_text("utf-8")), "utf-8")
        self._commands = [] if FRESH else [str(WARM.commands(folder / ".commands"))]
        (folder / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal: no progress meter
        config = self.here(config or _with_a_short_start((CHECKOUT / CONFIG).read_text("utf-8")))
        http = self.here("tcp:6800:interface=127.0.0.1")
        self.hub = Hub(folder, config, "--data-dir", str(folder / "var"), http=http)
        self.hub.data = folder / "var"

    def here(self, text: str) -> str:
        """Return ``text`` with the ports of this place in it."""
        for shipped, port in self._ports.items():
            text = text.replace(shipped, port)
        return text

    def follow(self, todo: Sequence[Step]) -> None:
        """Do what a page says, in one shell.

        :raises AssertionError: at the first command that fails, or prints something else.
        """
        script = "".join(f"{self.here(step.command)}\nprintf '\\n{_MARK}%s\\n' $?\n" for step in todo)
        printed = self._run(f"exec 2>&1\n{script}")
        *results, rest = _END.split(printed)
        for step, text, status in zip(todo, results[::2], results[1::2], strict=False):
            about = f"{step.where}: {step.command}\nprinted (status {status}):\n{text}"
            assert status == "0", about
            assert step.expected is None or matches(self.here(step.expected), text), about
        assert len(results) == 2 * len(todo), f"{todo[len(results) // 2].where} did not end:\n{rest}"

    def _run(self, script: str) -> str:
        path = os.pathsep.join([*self._commands, str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {**os.environ, "PATH": path, "CURL_HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        (self.folder / ".script").write_text(script, "utf-8")
        with (self.folder / ".printed").open("wb") as output, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["bash", ".script"],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                timeout=MAX_SECONDS,
                check=False,
                pass_fds=() if FRESH else [WARM.orders.fileno()],
            )
        return (self.folder / ".printed").read_text("utf-8", "replace")

    def close(self) -> None:
        """End the hub that is left; one with a Redis in order, which saves its data here before it ends."""
        with suppress(OSError, ValueError):
            pid = int(json.loads((self.folder / "var" / "ready.json").read_text())["pid"])
            in_order = (self.folder / "var" / "redis").exists()
            for number in (signal.SIGTERM, signal.SIGTERM) if in_order else (signal.SIGKILL,):
                os.kill(pid, number)  # the second SIGTERM skips the grace
                with suppress(AssertionError):
                    until(lambda: not alive(pid), 3, "the end of the hub")
        self.hub.close()
