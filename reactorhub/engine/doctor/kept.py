"""Keeps what the doctor says of a project, and what it has read of each file, under the hashes of the files.

A project has one file in the data folder. Whatever is wrong with it, it is made anew. All of this blocks.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reactorhub.diagnosis import doctor as rules
from reactorhub.diagnosis.doctor.diagnose import diagnose
from reactorhub.diagnosis.doctor.extract import facts_of
from reactorhub.diagnosis.doctor.facts import Module
from reactorhub.model import doctor as model
from reactorhub.model.doctor import Diagnosis, ProjectSource, SourceFile

_TRUSTED = ("reactorhub.diagnosis.doctor.facts", "reactorhub.model.doctor")
_PLAIN = ("set", "frozenset", "Ellipsis")
_MAX_NAME = 200  # bytes; file systems allow 255 for one name


class KeptDiagnoses:
    """Diagnoses projects. A project that has not changed since is not read again."""

    def __init__(self, folder: Path | None) -> None:
        """:param folder: where to keep findings, made when needed; None to keep none."""
        self._folder = folder

    def diagnosis(self, source: ProjectSource) -> Diagnosis:
        """Return what is to be said of a project, as far as its text tells."""
        if self._folder is None:
            return diagnose(source)
        place = self._folder / quote(source.name, safe="")[:_MAX_NAME]
        digest = _digest(source)
        kept = _Kept(place)
        if (known := kept.diagnosis(digest)) is not None:
            return known
        facts = _Facts(kept.facts())
        found = diagnose(source, facts=facts)
        _write(place, digest, found, facts.used)
        return found


class _Facts:
    """Reads only files that are new. ``used`` has the facts of all files that were asked for."""

    def __init__(self, known: Mapping[str, Module]) -> None:
        self._known = known
        self.used: dict[str, Module] = {}

    def __call__(self, file: SourceFile) -> Module:
        digest = file.digest
        self.used[digest] = facts = self._known.get(digest) or facts_of(file)
        return facts


class _Kept:
    """What a file holds: a head with hashes, the diagnosis, and the facts."""

    def __init__(self, place: Path) -> None:
        self._parts = _parts(place)
        self._head: Any = next(self._parts, None)
        self._diagnosis: Any = next(self._parts, None)

    def diagnosis(self, digest: str) -> Diagnosis | None:
        """Return the diagnosis of a project with this hash, if it is that one."""
        fits = self._head == (_stamp(), digest) and isinstance(self._diagnosis, Diagnosis)
        return self._diagnosis if fits else None

    def facts(self) -> Mapping[str, Module]:
        """Return the facts by the hashes of their files; none if other rules have read them."""
        if not (isinstance(self._head, tuple) and self._head[:1] == (_stamp(),)):
            return {}
        facts = next(self._parts, None)
        return facts if isinstance(facts, dict) else {}


def _parts(place: Path) -> Iterator[object]:
    with suppress(Exception), place.open("rb") as file:  # a file that is damaged is made anew
        while True:
            yield _Reader(file).load()


class _Reader(pickle.Unpickler):
    """Makes nothing but facts and findings, whatever a file may hold."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _TRUSTED or (module == "builtins" and name in _PLAIN):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong here")


def _write(place: Path, digest: str, found: Diagnosis, facts: Mapping[str, Module]) -> None:
    """Write a new file in one step. Where the disk refuses, nothing is kept."""
    draft = place.with_name(f"{place.name}.{os.getpid()}.new")
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        with draft.open("wb") as file:
            for part in ((_stamp(), digest), found, dict(facts)):
                file.write(pickle.dumps(part, pickle.HIGHEST_PROTOCOL))
        draft.replace(place)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _digest(source: ProjectSource) -> str:
    """Return a hash of all that a diagnosis depends on."""
    total = blake2b(digest_size=16)
    told = (source.name, source.settings_module, source.spider_modules, source.scrapy)
    total.update(repr(told).encode())
    for file in source.files:
        total.update(file.digest.encode())
    return total.hexdigest()


@cache
def _stamp() -> str:
    """Return what changes with the rules of the doctor, and with the Python that reads the code."""
    total = blake2b(sys.version.encode(), digest_size=16)
    for file in (*sorted(Path(rules.__file__ or "").parent.glob("*.py")), Path(model.__file__)):
        total.update(file.read_bytes())
    return total.hexdigest()
