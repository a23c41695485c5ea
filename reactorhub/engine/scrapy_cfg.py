"""Reads a project's ``scrapy.cfg``: which settings modules it names, and what is wrong with the file."""

from __future__ import annotations

import configparser
from configparser import ConfigParser
from functools import lru_cache
from pathlib import Path

from reactorhub.errors import UnreadableProject

FILE = "scrapy.cfg"
_SECTION = "settings"
_MAX_KEPT = 256  # files whose text is not parsed again while it is the same; each isolated run asks


@lru_cache(_MAX_KEPT)
def _parsed(text: str, path: str) -> ConfigParser:
    """Return a parser that has read this text. Nobody changes it."""
    parser = ConfigParser()
    parser.read_string(text, path)
    return parser


class ScrapyCfg:
    """The part ``[settings]`` of a ``scrapy.cfg``. A project without the file has no sections."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``.

        :raises UnreadableProject: with the file, the line and what is wrong there.
        """
        self.path = folder / FILE
        self._text = ""
        self._parser = _parsed("", "")
        self.exists = self._read()

    @property
    def names(self) -> list[str]:
        """The names under which it has settings modules: ``default`` and others."""
        return self._parser.options(_SECTION) if self._parser.has_section(_SECTION) else []

    def module(self, name: str) -> str | None:
        """Return the settings module of this name, or None.

        :raises UnreadableProject: if its value has a percent sign with no meaning.
        """
        try:
            return self._parser.get(_SECTION, name, fallback=None) or None
        except configparser.InterpolationError as error:
            raise self._mistake(self._line_of(name), f"write %% for a percent sign in {name!r}") from error

    def _read(self) -> bool:
        try:
            data = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise UnreadableProject(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            self._text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._mistake(line, "this is not UTF-8; save the file as UTF-8") from error
        try:
            self._parser = _parsed(self._text, str(self.path))
        except configparser.Error as error:
            raise self._mistake(*self._place_and_reason(error)) from error
        return True

    def _place_and_reason(self, error: configparser.Error) -> tuple[int, str]:
        match error:
            case configparser.MissingSectionHeaderError():
                return error.lineno, f"this line is in no section; write [{_SECTION}] above it"
            case configparser.ParsingError():
                line = error.errors[0][0]
                text = self._text.splitlines()[line - 1].strip()
                return line, f"{text!r} is not a section, and not a key with a value"
            case configparser.DuplicateSectionError():
                return error.lineno or 1, f"[{error.section}] is there already"
            case configparser.DuplicateOptionError():
                return error.lineno or 1, f"{error.option!r} is in [{error.section}] already"
        return 1, error.message.splitlines()[0]

    def _mistake(self, line: int, reason: str) -> UnreadableProject:
        return UnreadableProject(f"{self.path}:{line}: {reason}")

    def _line_of(self, name: str) -> int:
        lines = enumerate(self._text.splitlines(), 1)
        return next((number for number, line in lines if line.lower().startswith(name)), 1)
