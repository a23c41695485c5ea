"""The modules of a project put together: what a path stands for, and which classes a class inherits from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from reactorhub.diagnosis.doctor.extract import facts_of
from reactorhub.diagnosis.doctor.facts import BODY, Class, Module, Scope, Value
from reactorhub.diagnosis.doctor.stars import brings
from reactorhub.model.doctor import SourceFile

_MAX_ALIASES = 12  # names that stand for names; more of them is a circle


@dataclass(frozen=True, eq=False, slots=True)
class ClassRef:
    """A class of the project."""

    module: Module
    facts: Class

    @property
    def key(self) -> str:
        """``module:Class``."""
        return f"{self.module.name}:{self.facts.name}"


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """What a path stands for.

    ``kind`` is ``function``, ``class``, ``instance``, ``variable`` (of a module), ``attribute`` (of a class),
    or ``external``. ``rest`` is what the path goes on with, ``path`` the whole for an external one.
    """

    kind: str
    module: Module | None = None
    scope: Scope | None = None
    owner: ClassRef | None = None
    name: str = ""
    value: Value | None = None
    rest: str = ""
    path: str = ""


class Program:
    """Knows all modules of a project, and reads each when it is first asked for."""

    def __init__(
        self,
        files: Iterable[SourceFile],
        facts: Callable[[SourceFile], Module] = facts_of,
        scrapy: tuple[int, ...] | None = None,
    ) -> None:
        """:param scrapy: the version of Scrapy that runs them; None for a new one."""
        self.scrapy = scrapy
        self._files = {each.module: each for each in files}
        self._facts = facts
        self._modules: dict[str, Module] = {}
        self._classes: dict[str, ClassRef] = {}
        self._mros: dict[str, tuple[ClassRef | str, ...]] = {}
        self._closures: dict[str, frozenset[str]] = {}

    def module(self, name: str) -> Module | None:
        """Return the module of this name, or None if the project has none."""
        found = self._modules.get(name)
        if found is None and name in self._files:
            found = self._modules[name] = self._facts(self._files[name])
        return found

    def below(self, name: str) -> list[str]:
        """Return this module, and all modules below it."""
        return sorted(each for each in self._files if each == name or each.startswith(f"{name}."))

    def closure(self, name: str) -> frozenset[str]:
        """Return the modules of the project that an import of this one imports, itself included."""
        if name not in self._closures:
            found: set[str] = set()
            waiting = [name]
            while waiting:
                each = waiting.pop()
                if each in found or (module := self.module(each)) is None:
                    continue
                found.add(each)
                waiting.extend(_with_parents({*module.imported, each}))
            self._closures[name] = frozenset(found)
        return self._closures[name]

    # -- classes

    def class_ref(self, module: Module, name: str) -> ClassRef:
        """Return a class of a module by its name in the facts."""
        key = f"{module.name}:{name}"
        if key not in self._classes:
            self._classes[key] = ClassRef(module, module.classes[name])
        return self._classes[key]

    def mro(self, ref: ClassRef) -> tuple[ClassRef | str, ...]:
        """Return a class and all it inherits from; base classes that are not the project's as paths."""
        if ref.key not in self._mros:
            self._mros[ref.key] = (ref,)  # ends a circle
            order: list[ClassRef | str] = [ref]
            for base in ref.facts.bases:
                place = self.resolve(base, ref)
                if place and place.kind == "class" and place.owner and not place.rest:
                    order.extend(self.mro(place.owner))
                else:
                    order.append(place.path if place and place.path else base)
            self._mros[ref.key] = tuple(_last_of_each(order))
        return self._mros[ref.key]

    def own_mro(self, ref: ClassRef) -> Iterator[ClassRef]:
        """The classes of the project among those that a class inherits from."""
        return (each for each in self.mro(ref) if isinstance(each, ClassRef))

    def foreign_bases(self, ref: ClassRef) -> list[str]:
        """The base classes that neither the project, nor Scrapy, nor Python brings."""
        return [
            each
            for each in self.mro(ref)
            if isinstance(each, str) and not each.startswith(("scrapy.", "builtins.", "abc.", "typing."))
        ]

    def method(
        self, ref: ClassRef, name: str, after: ClassRef | None = None
    ) -> tuple[ClassRef, Scope] | None:
        """Return the method that a class has under this name; with ``after``, that of its base classes."""
        skipping = after is not None
        for each in self.own_mro(ref):
            if skipping:
                skipping = each is not after
                continue
            if name in each.facts.methods:
                return each, each.module.scopes[each.facts.methods[name]]
        return None

    def methods(self, ref: ClassRef) -> dict[str, tuple[ClassRef, Scope]]:
        """Return all methods of a class by name; one that is overridden is not among them."""
        found: dict[str, tuple[ClassRef, Scope]] = {}
        for each in self.own_mro(ref):
            for name, scope in each.facts.methods.items():
                found.setdefault(name, (each, each.module.scopes[scope]))
        return found

    def attribute(self, ref: ClassRef, name: str) -> tuple[ClassRef, Value] | None:
        """Return the value that a class body gives to this name, here or in a base class."""
        for each in self.own_mro(ref):
            if name in each.facts.attributes:
                return each, each.facts.attributes[name]
        return None

    def assigned(self, ref: ClassRef, name: str) -> Value | None:
        """Return what a method assigns to ``self.name``, here or in a base class."""
        for each in self.own_mro(ref):
            if name in each.facts.assigned:
                return each.facts.assigned[name]
        return None

    # -- paths

    def resolve(
        self, path: str, context: ClassRef | None, owner: ClassRef | None = None, depth: int = 0
    ) -> Place | None:
        """Return what a path stands for in a method of class ``context`` that ``owner`` defines, or None."""
        if depth > _MAX_ALIASES:
            return None
        root, _, rest = path.partition(".")
        if root in ("self", "cls", "super"):
            if context is None or not rest:
                return None
            after = owner if root == "super" else None
            return self._member(context, rest, after, depth, through="class" if root == "cls" else "instance")
        return self._absolute(path, depth)

    def _absolute(self, path: str, depth: int) -> Place | None:
        parts = path.split(".")
        for size in range(len(parts), 0, -1):
            module = self.module(".".join(parts[:size]))
            if module is not None:
                return self._in_module(module, parts[size:], depth) if parts[size:] else None
        return Place("external", path=path)

    def _in_module(self, module: Module, parts: list[str], depth: int) -> Place | None:
        found = self._function(module, parts) or self._class(module, parts, depth)
        if found is not None:
            return found
        name, suffix = _head(parts[0])
        rest = suffix + "".join(f".{part}" for part in parts[1:])
        if name in module.values:
            return self._variable(module, name, rest, depth)
        if name in module.imports:
            return self.resolve(module.imports[name] + rest, None, depth=depth + 1)
        return self._behind_stars(module, name, rest, depth)

    def _behind_stars(self, module: Module, name: str, rest: str, depth: int) -> Place | None:
        """Look for a name in the modules of ``from module import *``, and in those behind them.

        What the project itself defines comes first.
        """
        seen, waiting, foreign = {module.name}, list(module.stars), ""
        while waiting:
            star = waiting.pop(0)
            other = self.module(star) if star not in seen else None
            seen.add(star)
            if other is None:
                foreign = star if brings(star, name) and not self.below(star) else foreign
                continue
            if name in other.values or name in other.imports or name in other.classes or name in other.scopes:
                return self.resolve(f"{star}.{name}{rest}", None, depth=depth + 1)
            waiting.extend(other.stars)
        return Place("external", path=f"{foreign}.{name}{rest}") if foreign else None

    def _function(self, module: Module, parts: list[str]) -> Place | None:
        for size in range(len(parts), 0, -1):
            name, suffix = _head(parts[size - 1])
            scope = module.scopes.get(".".join([*parts[: size - 1], name]))
            if scope is not None and scope.name != BODY:
                rest = suffix + "".join(f".{part}" for part in parts[size:])
                owner = self.class_ref(module, scope.owner) if scope.owner in module.classes else None
                return Place("function", module, scope, owner, scope.name, rest=rest)
        return None

    def _class(self, module: Module, parts: list[str], depth: int) -> Place | None:
        for size in range(len(parts), 0, -1):
            name, suffix = _head(parts[size - 1])
            full = ".".join([*parts[: size - 1], name])
            if full not in module.classes:
                continue
            ref = self.class_ref(module, full)
            after = ".".join(parts[size:])
            if suffix not in ("", "()"):
                return None
            through = "instance" if suffix else "class"
            if not after:
                return Place(through, module, owner=ref, name=full)
            return self._member(ref, after, None, depth, through)
        return None

    def _member(
        self, ref: ClassRef, path: str, after: ClassRef | None, depth: int, through: str
    ) -> Place | None:
        head, _, tail = path.partition(".")
        name, suffix = _head(head)
        rest = suffix + (f".{tail}" if tail else "")
        if (method := self.method(ref, name, after)) is not None:
            return Place("function", method[0].module, method[1], ref, name, rest=rest)
        given = self.assigned(ref, name)
        if given is not None and through == "instance":
            return self.resolve(given.path + rest, ref, depth=depth + 1) if given.path else None
        attribute = self.attribute(ref, name)
        if attribute is None:
            return None
        owner, value = attribute
        if value.path and not value.container:
            further = self.resolve(value.path + rest, ref, depth=depth + 1)
            if further is not None:
                return further
        return Place("attribute", owner.module, owner=owner, name=name, value=value, rest=rest)

    def _variable(self, module: Module, name: str, rest: str, depth: int) -> Place | None:
        value = module.values[name]
        if value.path and not value.container:
            further = self.resolve(value.path + rest, None, depth=depth + 1)
            if further is not None and further.kind != "external":
                return further
            if further is not None and rest:
                return further
        return Place("variable", module, name=name, value=value, rest=rest)


def _head(part: str) -> tuple[str, str]:
    """Cut ``()`` and ``[]`` off the end of a name."""
    name = part
    while name.endswith(("()", "[]")):
        name = name[:-2]
    return name, part[len(name) :]


def _with_parents(names: set[str]) -> Iterator[str]:
    for name in names:
        yield name
        while "." in name:
            name = name.rpartition(".")[0]  # noqa: PLW2901
            yield name


def _last_of_each(order: list[ClassRef | str]) -> list[ClassRef | str]:
    """Keep the last of those that stand there twice, which is where Python puts a shared base class."""
    kept: list[ClassRef | str] = []
    for each in reversed(order):
        if each not in kept:
            kept.append(each)
    return kept[::-1]
