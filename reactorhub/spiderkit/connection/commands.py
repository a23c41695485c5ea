"""Commands and scripts that a client sends. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1

Argument = str | bytes | int

MAP_OF = """
local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
"""
"""For scripts: makes a table of the names and values that Redis returns as one list."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. The server is sent its SHA-1, and the text only if it does not know the script."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    def call(self, keys: Sequence[str | bytes], args: Sequence[Argument] = ()) -> ScriptCall:
        """Return a command that runs the script with these keys and arguments."""
        return ScriptCall(self, (len(keys), *keys, *args))


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One call of a script."""

    script: Script
    arguments: tuple[Argument, ...]

    @property
    def by_name(self) -> tuple[Argument, ...]:
        """The command for a server that knows the script."""
        return ("EVALSHA", self.script.sha, *self.arguments)

    @property
    def in_full(self) -> tuple[Argument, ...]:
        """The command for a server that does not know the script. It will know it afterwards."""
        return ("EVAL", self.script.text, *self.arguments)


Command = tuple[Argument, ...] | ScriptCall


def words_of(command: Command) -> tuple[Argument, ...]:
    """Return the words of a command, as they are sent at first."""
    return command.by_name if isinstance(command, ScriptCall) else command


def full_words_of(command: Command) -> tuple[Argument, ...]:
    """Return the words of a command for a server that may know no script."""
    return command.in_full if isinstance(command, ScriptCall) else command


def encoded(words: Sequence[Argument]) -> tuple[bytes, ...]:
    """Return the words of a command as they are sent.

    :raises UnicodeEncodeError: if one cannot be written as UTF-8.
    :raises ValueError: if there are none. Redis would not answer, and all later replies would be late.
    """
    if not words:
        raise ValueError("a command to Redis has at least a name")
    return tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)


def is_unknown_script(command: Command, reply: object) -> bool:
    """Whether a server answered that it does not know the script of this call."""
    return (
        isinstance(command, ScriptCall) and isinstance(reply, Exception) and str(reply).startswith("NOSCRIPT")
    )
