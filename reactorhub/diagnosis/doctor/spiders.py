"""Which classes are spiders, and methods of theirs that Scrapy never calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from reactorhub.diagnosis.doctor.calls import finding
from reactorhub.diagnosis.doctor.facts import Use
from reactorhub.diagnosis.doctor.kinds import Harm
from reactorhub.diagnosis.doctor.program import ClassRef, Program
from reactorhub.model.doctor import Finding

_KIND = "start-requests"
_ONLY_START = (2, 16)  # the first version of Scrapy that does not call start_requests() any more
_KNOWS_START = (2, 13)  # the first version that calls start()
_WRITE_PROCESS_START = "write async def process_start(self, start) instead"


class _Unheard(NamedTuple):
    """A method that Scrapy does not call, the one that it calls instead, and what comes of it."""

    name: str
    called: str
    why: str
    remedy: str


_OLD = _Unheard(
    "start_requests",
    "start",
    "so the spider makes no request",
    "add async def start(self) that yields the same requests",
)
_NEW = _Unheard(
    "start",
    "start_requests",
    "so the spider requests its start_urls only",
    "add def start_requests(self) that yields the same requests",
)


def is_spider(program: Program, ref: ClassRef) -> bool:
    """Whether a class is a spider: Scrapy's, or one of a library that is named like one."""
    return any(
        isinstance(base, str) and base.rpartition(".")[2].endswith(("Spider", "SpiderMixin"))
        for base in program.mro(ref)
    )


def spiders_in(program: Program, module_name: str) -> Iterator[tuple[str, ClassRef]]:
    """Return the spiders that Scrapy would find in a module, by name."""
    module = program.module(module_name)
    for name in module.classes if module else ():
        if module is None or not module.scopes or "." in name:
            continue
        ref = program.class_ref(module, name)
        named = program.attribute(ref, "name")
        if (
            named is not None
            and isinstance(named[1].literal, str)
            and named[1].literal
            and is_spider(program, ref)
        ):
            yield named[1].literal, ref


def start_findings(program: Program, ref: ClassRef) -> Iterator[Finding]:
    """Say so where a spider has ``start_requests()`` and nothing that calls it, or ``start()`` alike."""
    version = program.scrapy
    if version is None or version >= _ONLY_START:
        yield from _never_called(program, ref, _OLD)
    elif version < _KNOWS_START:
        yield from _never_called(program, ref, _NEW)


def _never_called(program: Program, ref: ClassRef, unheard: _Unheard) -> Iterator[Finding]:
    """Say so where a spider has a method that is not called, and not the one that is called instead."""
    found = program.method(ref, unheard.name)
    has_other = program.method(ref, unheard.called) or program.attribute(ref, unheard.called) is not None
    if found is None or has_other or program.foreign_bases(ref):
        return
    owner, scope = found
    harm = Harm(_KIND, f"is never called by {_scrapy(program)}, {unheard.why}", unheard.remedy)
    what = f"{owner.facts.name}.{unheard.name}() {harm.why}"
    if advice := finding(owner.module, Use(scope.line, ""), what, harm):
        yield advice


def _scrapy(program: Program) -> str:
    """Name the version of Scrapy that the project runs with."""
    if program.scrapy is None:
        return f"Scrapy {'.'.join(map(str, _ONLY_START))} and later"
    return f"Scrapy {'.'.join(map(str, program.scrapy))}"


def middleware_findings(program: Program, ref: ClassRef) -> Iterator[Finding]:
    """Say so where a spider middleware has only the method that older versions of Scrapy called."""
    found = program.method(ref, "process_start_requests")
    if found is None or program.method(ref, "process_start") or program.foreign_bases(ref):
        return
    if program.scrapy is not None and program.scrapy < _ONLY_START:
        return
    owner, scope = found
    if scope.owner and not _passes_on(program, ref):
        harm = Harm(_KIND, f"is never called by {_scrapy(program)}", _WRITE_PROCESS_START)
        what = f"{owner.facts.name}.process_start_requests() {harm.why}"
        if advice := finding(owner.module, Use(scope.line, ""), what, harm):
            yield advice


def _passes_on(program: Program, ref: ClassRef) -> bool:
    """Whether the method is the one of Scrapy's own template, which only hands its requests on."""
    found = program.method(ref, "process_start_requests")
    return found is not None and not found[1].calls and not found[1].writes
