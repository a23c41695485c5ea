"""``sys.stdout`` and ``sys.stderr`` for many runs: each line goes to the log of the run that printed it.

Nothing that is printed passes through ``logging``. So a log handler that writes to ``sys.stderr`` causes no
circle. An assignment to ``sys.stdout``, as ``contextlib.redirect_stdout`` makes it, holds for the run or
project that makes it.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import RLock, local
from types import ModuleType
from typing import IO, Any

from reactorhub.containment.contexts import EMITTING, Owner, here

HubOutput = Callable[[str, str], None]
"""Takes the name of a stream and a line that belongs to no run."""

LONGEST_PRINTED = 65_536
"""Characters after which a line that has no end is written as it is."""

_NUMBERS = {"stdout": 1, "stderr": 2}


def install_streams(hub_output: HubOutput) -> Callable[[], None]:
    """Replace ``sys.stdout`` and ``sys.stderr``, and ``sys.stdin`` by an empty file.

    Call this after Twisted's log has begun: it keeps the streams that it finds. Return a function that undoes
    everything.
    """
    before = {name: sys.__dict__[name] for name in (*_NUMBERS, *_dunder(), "stdin")}
    kind = sys.__class__
    for name, number in _NUMBERS.items():
        stream = OwnedStream(name, number, hub_output)
        sys.__dict__[name] = sys.__dict__[f"__{name}__"] = stream
    empty = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the process lives
    sys.stdin = empty
    sys.__class__ = _OwnedSys

    def undo() -> None:
        sys.__class__ = kind
        sys.__dict__.update(before)
        empty.close()

    return undo


def finish_lines(owner: Owner) -> None:
    """Write what an owner whose end has come has not flushed, and its unfinished lines."""
    for stream in owner.streams.values():
        with suppress(BaseException):  # the stream may be of any class
            owner.enter(stream.flush)
    for lines in tuple(owner.unfinished.values()):
        lines.finish()


class OwnedStream(io.TextIOWrapper):
    """A text stream that finds the owner of each text. It cannot be closed."""

    def __init__(self, name: str, number: int, hub_output: HubOutput) -> None:
        self._name, self._number = name, number
        self._bytes = _OwnedBytes(self)
        self._hub = _Lines(name, None, hub_output)
        self._hub_output = hub_output
        self._forwarding = local()
        below: Any = self._bytes
        super().__init__(below, "utf-8", "backslashreplace", "\n", write_through=True)

    @property
    def name(self) -> str:
        return f"<{self._name}>"

    @property
    def buffer(self) -> Any:
        return self._bytes

    @property
    def closed(self) -> bool:
        return False

    def write(self, text: str, /) -> int:
        """Write for the owner of the executing code: into what the owner has put in place, or its log."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not getattr(EMITTING, "now", False):
            owner = here()
            instead = self._instead(owner)
            if instead is None:
                self.lines(owner).add(text)
            else:
                self._forward(instead.write, text)
        return len(text)

    def lines(self, owner: Owner | None) -> _Lines:
        """Return where an owner's lines are put together."""
        if owner is None:
            return self._hub
        lines: _Lines | None = owner.unfinished.get(self._name)
        if lines is None:
            lines = owner.unfinished[self._name] = _Lines(self._name, owner, self._hub_output)
        return lines

    def _instead(self, owner: Owner | None) -> IO[str] | None:
        """Return what an owner has assigned to ``sys.stdout``: print() looks past the property of ``sys``."""
        if owner is None or getattr(self._forwarding, "now", False):
            return None
        assigned = assigned_stream(owner, self._name)
        return None if assigned is self else assigned

    def _forward(self, call: Callable[..., object], *args: str) -> None:
        self._forwarding.now = True
        try:
            call(*args)
        finally:
            self._forwarding.now = False

    def flush(self) -> None:
        """Flush what the owner has put in place; whole lines of this stream are written at once."""
        instead = self._instead(here())
        if instead is not None:
            self._forward(instead.flush)

    def close(self) -> None:
        """Do nothing: the stream belongs to all."""

    def detach(self) -> Any:
        """Return the byte stream; this stream stays usable."""
        return self._bytes

    def reconfigure(self, **choices: Any) -> None:
        """Do nothing: the encoding is UTF-8."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        """Return the number of the process's own file, for child processes. It is the hub's log."""
        return self._number


class _OwnedBytes(io.BufferedIOBase):
    """The bytes beneath a stream. A wrapper that is collected closes what it wraps, which must do nothing."""

    def __init__(self, text: OwnedStream) -> None:
        self._text = text

    @property
    def raw(self) -> Any:
        return self

    @property
    def closed(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        if not getattr(EMITTING, "now", False):
            self._text.lines(here()).add_bytes(piece)
        return len(piece)

    def flush(self) -> None:
        """Do nothing: whole lines are written at once."""

    def close(self) -> None:
        """Do nothing: the stream belongs to all."""

    def detach(self) -> Any:
        return self

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._text.fileno()


class _Lines:
    """Puts an owner's pieces of text together to whole lines.

    Of a line with carriage returns only the last piece counts: a progress bar is one line.
    """

    def __init__(self, name: str, owner: Owner | None, hub_output: HubOutput) -> None:
        self._name, self._owner, self._hub_output = name, owner, hub_output
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._lock = RLock()  # not a Lock: a signal handler may print while this very thread prints
        self._busy = False

    def add(self, text: str) -> None:
        with self._lock:
            if self._busy:
                return  # whoever takes the line prints: there is no end to that
            *lines, rest = (self._rest + text).split("\n")
            self._rest = rest if "\r" not in rest else _last_piece(rest)
            for line in lines:
                self._deliver(line)
            while len(self._rest) > LONGEST_PRINTED:
                piece, self._rest = self._rest[:LONGEST_PRINTED], self._rest[LONGEST_PRINTED:]
                self._deliver(piece)

    def add_bytes(self, data: bytes) -> None:
        with self._lock:
            self.add(self._decoder.decode(data))

    def finish(self) -> None:
        with self._lock:
            rest, self._rest = self._rest, ""
            if rest:
                self._deliver(rest)

    def _deliver(self, line: str) -> None:
        self._busy = True
        try:
            line = _last_piece(line).rstrip("\r")
            while True:
                piece, line = line[:LONGEST_PRINTED], line[LONGEST_PRINTED:]
                if self._owner is None or self._owner.over or not self._owner.output(self._name, piece):
                    self._hub_output(self._name, piece)
                if not line:
                    return
        finally:
            self._busy = False


def _last_piece(text: str) -> str:
    """Return what a terminal would show of a line: what stands after its last carriage return."""
    kept = text.rstrip("\r")
    return kept.rpartition("\r")[2] + "\r" * (len(kept) != len(text))


def assigned_stream(owner: Owner | None, name: str) -> Any:
    """Return what an owner or its parent has assigned to a stream of ``sys``, or None."""
    while owner is not None:
        if name in owner.streams:
            return owner.streams[name]
        owner = owner.parent
    return None


def _owned(name: str) -> Any:
    def get(module: ModuleType) -> Any:
        assigned = assigned_stream(here(), name)
        return module.__dict__[name] if assigned is None else assigned

    def put(module: ModuleType, stream: Any) -> None:
        owner = here()
        if owner is None:
            module.__dict__[name] = stream
        elif _wraps(stream, module.__dict__[name]):
            owner.streams[name] = module.__dict__[name]
        else:
            owner.streams[name] = _Nowhere() if stream is None else stream

    return property(get, put)


def _wraps(stream: Any, ours: Any) -> bool:
    """Return whether a stream is a plain wrapper around ours.

    The wrapper would gather text of several runs in its buffer and write all of it for one of them.
    """
    return type(stream) is io.TextIOWrapper and stream.buffer is getattr(ours, "buffer", None)


class _Nowhere(io.StringIO):
    """Stands for ``sys.stdout = None``: what is printed is lost."""

    def write(self, text: str, /) -> int:
        return len(text)


class _OwnedSys(ModuleType):
    """The module ``sys`` with streams that may be assigned for one owner."""

    stdout = _owned("stdout")
    stderr = _owned("stderr")


def _dunder() -> tuple[str, ...]:
    return tuple(f"__{name}__" for name in _NUMBERS)
