"""State that outlives a run: what is changed in classes and modules, and what imports compute."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from reactorhub.diagnosis.doctor.blocking import CONNECTIONS
from reactorhub.diagnosis.doctor.calls import finding
from reactorhub.diagnosis.doctor.facts import Module, Use, Value
from reactorhub.diagnosis.doctor.hooks import READ_BY_SCRAPY
from reactorhub.diagnosis.doctor.imports import STALE
from reactorhub.diagnosis.doctor.kinds import Harm, words
from reactorhub.diagnosis.doctor.program import ClassRef, Place, Program
from reactorhub.diagnosis.doctor.reach import Code, Reached
from reactorhub.model.doctor import Finding

MUTATORS = words(
    "append add extend insert update setdefault pop popleft popitem remove discard clear appendleft "
    "extendleft difference_update intersection_update symmetric_difference_update subtract"
)
"""Methods that change the collection they belong to."""

_COPIED = words("list dict set deque")
_CACHE = re.compile(r"cache|memo(_|$|ize)", re.IGNORECASE)
_ENTRIES = re.compile(r"(\[\])*$")
_MUTATION = re.compile(rf"(?P<base>.+)\.(?P<name>{'|'.join(sorted(MUTATORS))})\(\)$")
_IN_INIT = "make it in __init__, so that each run has its own"
_OPENED = Harm(
    "import-connection",
    "is opened by the import; all runs use it, and one that closes it closes it for all",
    "open it in open_spider or start()",
)


class State:
    """Finds what runs would share in the code that one spider or component reaches."""

    def __init__(self, program: Program, *, is_spider: bool) -> None:
        self._program = program
        self._is_spider = is_spider
        self._reported: set[str] = set()

    def findings(self, reached: Reached) -> Iterator[Finding]:
        """Return a finding for each attribute or variable that this code changes."""
        for code in reached.values():
            for use in (*code.scope.calls, *code.scope.writes):
                found = self._change(code, use)
                if found is not None:
                    yield found

    def _change(self, code: Code, use: Use) -> Finding | None:
        if use.path.endswith("()"):
            match = _MUTATION.match(use.path)
            return self._changed(code, use, match["base"], f".{match['name']}()") if match else None
        if use.path.endswith("[]"):
            return self._changed(code, use, use.path[:-2], "[...] = ...")
        if use.path.endswith("+="):
            return self._changed(code, use, use.path[:-2], " += ...")
        return self._rebound(code, use, use.path[:-1])

    def _changed(self, code: Code, use: Use, path: str, how: str) -> Finding | None:
        """A container that is changed in place; with ``+=``, anything that is not ``self``'s."""
        place = code.resolve(self._program, path)
        if place is None or place.value is None or not _ENTRIES.match(place.rest):
            return None
        if place.value.container:
            return self._reported_once(code, use, place, path, how)
        return (
            self._rebound(code, use, path) if how.startswith(" +=") and not path.startswith("self.") else None
        )

    def _rebound(self, code: Code, use: Use, path: str) -> Finding | None:
        """An attribute of a class, or a variable of a module, that is given another value."""
        owner, _, name = path.rpartition(".")
        if owner == "cls" and code.context is not None:
            place: Place | None = Place("attribute", owner=code.context, name=name)
        elif owner in ("self", "super"):
            return None
        else:
            place = self._outer(code, owner, name)
        return self._reported_once(code, use, place, path, " = ...") if place else None

    def _outer(self, code: Code, owner: str, name: str) -> Place | None:
        module = self._program.module(owner)
        if module is not None and name in module.values:
            return Place("variable", module, name=name, value=module.values[name])
        place = code.resolve(self._program, owner)
        if place is not None and place.kind == "class" and not place.rest:
            return Place("attribute", owner=place.owner, name=name)
        return None

    def _reported_once(self, code: Code, use: Use, place: Place, path: str, how: str) -> Finding | None:
        where = place.owner.key if place.owner else place.module.name if place.module else ""
        key = f"{where}.{place.name}"
        if key in self._reported:
            return None
        harm = self._harm(code, use, place, path)
        found = finding(code.module, use, f"{self._written(place, path)}{how} {harm.why}", harm)
        if found is not None:
            self._reported.add(key)
        return found

    def _harm(self, code: Code, use: Use, place: Place, path: str) -> Harm:
        value = place.value
        if use.path in code.scope.kept or _CACHE.search(place.name):
            why = "keeps a value that all runs of this process then share"
            return Harm("kept-value", why, "make sure that it suits every run, or keep it on self")
        if place.kind == "variable":
            why = "changes a variable of the module, which all runs of this process share"
            return Harm("module-state", why, "keep it on self, or on the crawler")
        kind = value.container if value else ""
        noun = f"a {kind} of the class" if kind else "the class"
        if self._has_a_copy(code, place, path, kind):
            return Harm("spider-state", f"changes {noun}; here each run has its own", _remedy(place, kind))
        why = f"changes {noun}, which all runs of this process share"
        return Harm("class-state", why, _remedy(place, kind))

    def _has_a_copy(self, code: Code, place: Place, path: str, kind: str) -> bool:
        """Whether the engine gives each run its own: a collection of the class, or the spider's class."""
        by_object = path.startswith(("self.", "cls."))
        by_name = code.context is not None and place.owner is not None and place.owner.key == code.context.key
        if kind:
            return kind in _COPIED and (by_object or by_name)
        return self._is_spider and path.startswith("cls.")

    def _written(self, place: Place, path: str) -> str:
        receiver = path.partition(".")[0]
        if receiver in ("self", "cls"):
            return f"{receiver}.{place.name}"
        return f"{place.owner.facts.name}.{place.name}" if place.owner else place.name


def _remedy(place: Place, kind: str) -> str:
    if place.name == "custom_settings":
        return "change settings in update_settings()"
    empty = {"list": "[]", "dict": "{}", "set": "set()"}.get(kind)
    return f"make it in __init__: self.{place.name} = {empty}" if empty else _IN_INIT


# -- what imports compute


def import_findings(
    program: Program, ref: ClassRef, reached: Reached, modules: Iterable[str]
) -> Iterator[Finding]:
    """Return what a class and its modules compute at import that its runs use."""
    used = _used(reached)
    for each in program.own_mro(ref):
        for name, value in each.facts.attributes.items():
            if name in READ_BY_SCRAPY or _uses_attribute(used, ref, name):
                yield from _computed(program, each.module, value, name)
                yield from _opened(each.module, value, f"{each.facts.name}.{name}")
    for name in sorted(modules):
        module = program.module(name)
        if module is None:
            continue
        for variable, value in module.values.items():
            if _may_matter(value) and _uses_variable(program, reached, module, variable):
                yield from _computed(program, module, value, variable)
                yield from _opened(module, value, variable)


def default_findings(code: Code) -> Iterator[Finding]:
    """Return what the default values of a function's arguments compute once and for all."""
    for use in code.scope.defaults:
        yield from _stale(code.module, use, "a default value")


def setting_findings(program: Program, module: Module, name: str, value: Value) -> Iterator[Finding]:
    """Return what a setting computes at import."""
    yield from _computed(program, module, value, name)


def _may_matter(value: Value) -> bool:
    return (value.path or "") in CONNECTIONS or any(use.path in STALE for use in value.calls)


def _computed(program: Program, module: Module, value: Value, name: str, depth: int = 0) -> Iterator[Finding]:
    for use in value.calls:
        yield from _stale(module, use, name)
    for path in value.names if depth < 3 else ():
        place = program.resolve(path, None)
        if place and place.kind == "variable" and place.module and place.value and place.name != name:
            yield from _computed(program, place.module, place.value, place.name, depth + 1)


def _stale(module: Module, use: Use, name: str) -> Iterator[Finding]:
    harm = STALE.get(use.path)
    if harm is not None and (found := finding(module, use, f"{use.path} for {name} {harm.why}", harm)):
        yield found


def _opened(module: Module, value: Value, name: str) -> Iterator[Finding]:
    if value.path in CONNECTIONS:
        if value.path.endswith("open()") and not any(use.argument for use in value.calls):
            return  # os.devnull for one
        use = next((use for use in value.calls if use.path == value.path), Use(value.line, value.path))
        if found := finding(module, use, f"{name} {_OPENED.why}", _OPENED):
            yield found


def _used(reached: Reached) -> set[str]:
    return {
        path
        for code in reached.values()
        for path in (*code.scope.names, *(use.path for use in code.scope.calls))
    }


def _uses_attribute(used: set[str], ref: ClassRef, name: str) -> bool:
    wanted = (f"self.{name}", f"cls.{name}", f".{ref.facts.name}.{name}")
    return any(
        (path.startswith(wanted[:2]) and _is_name(path, name))
        or path.endswith(wanted[2])
        or f"{wanted[2]}." in path
        for path in used
    )


def _is_name(path: str, name: str) -> bool:
    return re.match(rf"(self|cls)\.{re.escape(name)}($|[.\[(])", path) is not None


def _uses_variable(program: Program, reached: Reached, module: Module, name: str) -> bool:
    own = f"{module.name}.{name}"
    for code in reached.values():
        for path in (*code.scope.names, *(use.path for use in code.scope.calls)):
            if path.startswith(own) and path[len(own) : len(own) + 1] in ("", ".", "[", "("):
                return True
            if name in path and code.module is not module and _leads_to(program, code, path, module, name):
                return True
    return False


def _leads_to(program: Program, code: Code, path: str, module: Module, name: str) -> bool:
    start = path[: path.index(name) + len(name)]
    place = program.resolve(start, None) if not start.startswith(("self", "cls", "super")) else None
    return place is not None and place.module is module and place.name == name and place.kind == "variable"
