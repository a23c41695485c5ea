"""Which classes are spiders, and methods of theirs that Scrapy never calls."""

from __future__ import annotations

from collections.abc import Iterator

from reactorhub.diagnosis.doctor.calls import finding
from reactorhub.diagnosis.doctor.facts import Use
from reactorhub.diagnosis.doctor.kinds import Harm
from reactorhub.diagnosis.doctor.program import ClassRef, Program
from reactorhub.model.doctor import Finding

_START = Harm("start-requests", "is never called by Scrapy 2.19, so the spider makes no request", "")
_BOTH = "add async def start(self) that yields the same requests"
_MIDDLEWARE = Harm(
    "start-requests", "is never called by Scrapy 2.19", "write async def process_start(self, start) instead"
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
    """Say so where a spider has ``start_requests()`` and nothing that calls it."""
    found = program.method(ref, "start_requests")
    if found is None or program.method(ref, "start") or program.foreign_bases(ref) or _starts(program, ref):
        return
    owner, scope = found
    harm = Harm(_START.kind, _START.why, _BOTH)
    what = f"{owner.facts.name}.start_requests() {harm.why}"
    if advice := finding(owner.module, Use(scope.line, ""), what, harm):
        yield advice


def _starts(program: Program, ref: ClassRef) -> bool:
    """Whether ``start`` is made by an assignment in a class body."""
    return program.attribute(ref, "start") is not None


def middleware_findings(program: Program, ref: ClassRef) -> Iterator[Finding]:
    """Say so where a spider middleware has only the method that older versions of Scrapy called."""
    found = program.method(ref, "process_start_requests")
    if found is None or program.method(ref, "process_start") or program.foreign_bases(ref):
        return
    owner, scope = found
    if scope.owner and not _passes_on(program, ref):
        what = f"{owner.facts.name}.process_start_requests() {_MIDDLEWARE.why}"
        if advice := finding(owner.module, Use(scope.line, ""), what, _MIDDLEWARE):
            yield advice


def _passes_on(program: Program, ref: ClassRef) -> bool:
    """Whether the method is the one of Scrapy's own template, which only hands its requests on."""
    found = program.method(ref, "process_start_requests")
    return found is not None and not found[1].calls and not found[1].writes
