"""Single calls: those that block, those that reach beyond the crawl, files by relative path."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reactorhub.diagnosis.doctor.beyond import (
    HIDDEN_WARNINGS,
    LOGGER_LEVEL,
    PATCH,
    PATCHED_LIBRARIES,
    PATCHES,
    PROCESS_WIDE,
)
from reactorhub.diagnosis.doctor.blocking import BLOCKING, CLIENTS, by_root
from reactorhub.diagnosis.doctor.facts import Module, Use
from reactorhub.diagnosis.doctor.files import FILE_CALLS
from reactorhub.diagnosis.doctor.imports import AT_IMPORT
from reactorhub.diagnosis.doctor.kinds import SEVERITIES, Harm
from reactorhub.diagnosis.doctor.program import Program
from reactorhub.diagnosis.doctor.reach import Code
from reactorhub.model.doctor import Finding

_BY_ROOT = by_root(CLIENTS)
_ABSOLUTE = re.compile(r"[/\\~{%:]|[A-Za-z]:|[a-z0-9+]+://|file:|$")
_STEPS = "submit|cursor|pipeline|begin|connect|raw_connection|session|get_database|get_collection"
_BETWEEN = re.compile(rf"(\(\))?(\.({_STEPS})\(\)|\[\]|\.\w+)*\.(?P<method>\w+)\(\)$")
_OTHER_LOGGER = re.compile(r"logging\.getLogger\.named\.(setLevel|addHandler)\(\)$")
_RELATIVE = Harm(
    "relative-path",
    "starts from the hub's working folder, not from the project's",
    "start from Path(__file__).parent, or take the path as a setting",
)
_SIGNALS_TO_ANY = ("os.kill()", "os.killpg()")
_OWN_PROCESS = ("os.getpid()", "os.getpgrp()", "os.getpgid()")
_AT_IMPORT_TOO = frozenset({"time", "requests", "urllib", "httpx"})
"""Where blocking calls come from that an import should not make either."""


def finding(module: Module, use: Use, what: str, harm: Harm, *, at_import: bool = False) -> Finding | None:
    """Return a finding about a line, or None if a comment silences it."""
    if module.silenced and not module.silenced.isdisjoint(range(use.line, max(use.line, use.last) + 1)):
        return None
    severity = SEVERITIES[harm.kind]
    return Finding(module.file, use.line, what, harm.remedy, harm.kind, severity, at_import=at_import)


def call_findings(program: Program, code: Code, *, at_import: bool) -> Iterator[Finding]:
    """Return what there is to say of the calls and assignments in this code."""
    reported: set[tuple[str, str]] = set()
    for use in code.scope.calls:
        place = code.resolve(program, use.path)
        if place is None or place.kind != "external":
            continue
        for path, harm in _harms(place.path, use, code, at_import):
            key = (harm.kind, path.partition(".")[0] if harm.kind == "blocks" else f"{path} {use.line}")
            found = finding(code.module, use, f"{_shown(path, use)} {harm.why}", harm, at_import=at_import)
            if key not in reported and found:
                reported.add(key)
                yield found
    yield from _patches(program, code, at_import)


def _harms(path: str, use: Use, code: Code, at_import: bool) -> Iterator[tuple[str, Harm]]:
    found = _import_harm(path) if at_import else blocking(path)
    if found is not None:
        yield found
    if _names_relative_path(path, use):
        yield path, _RELATIVE
    plain = f"{path.removesuffix('()').replace('()', '')}()"
    wide = PROCESS_WIDE.get(plain)
    if wide is not None and wide.kind == "warnings":
        yield from _of_warnings(path, use, code, wide)
    elif plain in _SIGNALS_TO_ANY and not _names_itself(code):
        return
    elif wide is not None:
        yield path, wide
    elif _OTHER_LOGGER.match(plain):
        yield path.replace(".named", ""), LOGGER_LEVEL


def _names_itself(code: Code) -> bool:
    """Whether code asks for its own process: a signal to any other ends no hub."""
    return any(each.path in _OWN_PROCESS for each in code.scope.calls)


def blocking(path: str) -> tuple[str, Harm] | None:
    """Return what to call a call that blocks, and why it does; None if it is not known to."""
    if path in BLOCKING:
        return path, BLOCKING[path]
    for maker, client in _BY_ROOT.get(path.partition(".")[0], ()):
        if path.startswith(maker) and path != maker:
            match = _BETWEEN.fullmatch(path[len(maker) :])
            if match and client.blocks(match["method"]):
                return f"{maker}.{match['method']}()", client.harm
    return None


def _import_harm(path: str) -> tuple[str, Harm] | None:
    found = blocking(path) if path.partition(".")[0] in _AT_IMPORT_TOO else None
    return (found[0], AT_IMPORT) if found else None


def _of_warnings(path: str, use: Use, code: Code, harm: Harm) -> Iterator[tuple[str, Harm]]:
    """A filter that makes errors of warnings fails others; one that hides some harms nobody much."""
    if any(each.path == "warnings.catch_warnings()" for each in code.scope.calls):
        return
    yield path, harm if use.argument in (None, "error") else HIDDEN_WARNINGS


def _patches(program: Program, code: Code, at_import: bool) -> Iterator[Finding]:
    for use in code.scope.writes:
        place = code.resolve(program, use.path.rstrip("+="))
        if place is None or place.kind != "external":
            continue
        harm = PATCHES.get(place.path) or _library(place.path, use.path)
        if harm is None:
            continue
        found = finding(
            code.module,
            use,
            f"an assignment to {place.path.removesuffix('[]')} {harm.why}",
            harm,
            at_import=at_import,
        )
        if found:
            yield found


def _library(path: str, written: str) -> Harm | None:
    """What is assigned to a name of a library's module or class, but not to an object made here."""
    return PATCH if written.endswith("=") and path.startswith(PATCHED_LIBRARIES) and "(" not in path else None


def _names_relative_path(path: str, use: Use) -> bool:
    if path.startswith("pathlib.") and not use.path.startswith("pathlib."):
        return False  # a Path that was made elsewhere: the argument says how it is opened, not what
    return path in FILE_CALLS and use.argument is not None and is_relative(use.argument)


def is_relative(text: str) -> bool:
    """Whether a text, or the beginning of one, is a path that depends on the working folder."""
    return not _ABSOLUTE.match(text)


def _shown(path: str, use: Use) -> str:
    name = path.removeprefix("builtins.")
    if _names_relative_path(path, use):
        return (
            f'{name.removesuffix("()")}("{use.argument}")'
            if path.startswith("builtins.")
            else f"{name} of {use.argument!r}"
        )
    return name
