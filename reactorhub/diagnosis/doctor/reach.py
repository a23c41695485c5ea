"""Which functions a crawl reaches, and which an import runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reactorhub.diagnosis.doctor.facts import BODY, Module, Scope
from reactorhub.diagnosis.doctor.hooks import COMPONENT_HOOKS, SPIDER_HOOKS
from reactorhub.diagnosis.doctor.program import ClassRef, Place, Program

_MADE = ("__init__", "__new__", "__post_init__", "__enter__", "__aenter__", "__call__")


@dataclass(frozen=True, slots=True)
class Code:
    """A function of a module, and the class whose object it works on."""

    module: Module
    scope: Scope
    context: ClassRef | None

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells it from all other code of the project."""
        return self.module.name, self.scope.name, self.context.key if self.context else ""

    def owner(self, program: Program) -> ClassRef | None:
        """The class in whose body the function stands."""
        name = self.scope.owner
        return program.class_ref(self.module, name) if name in self.module.classes else None

    def resolve(self, program: Program, path: str) -> Place | None:
        """Return what a path in this code stands for."""
        owner = self.owner(program)
        return program.resolve(path, self.context or owner, owner)


Reached = dict[tuple[str, str, str], Code]


class Reach:
    """Follows calls, and functions that are handed on, through the code of a project."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._onward: dict[tuple[str, str, str], list[Code]] = {}

    def spider(self, ref: ClassRef) -> Reached:
        """Return the code that a crawl of this spider reaches, its pipelines and the like apart."""
        return self._from(self._roots(ref, SPIDER_HOOKS))

    def component(self, ref: ClassRef) -> Reached:
        """Return the code that a pipeline, middleware or extension reaches."""
        return self._from(self._roots(ref, COMPONENT_HOOKS))

    def imported(self, module: Module) -> Reached:
        """Return the code that an import of the module runs: its body, and what is called there."""
        reached: Reached = {}
        waiting = [Code(module, module.scopes[BODY], None)] if BODY in module.scopes else []
        while waiting:
            code = waiting.pop()
            if code.key not in reached:
                reached[code.key] = code
                waiting.extend(self._called(code, [use.path for use in code.scope.calls]))
        return reached

    def _from(self, roots: Iterable[Code]) -> Reached:
        reached: Reached = {}
        waiting = list(roots)
        while waiting:
            code = waiting.pop()
            if code.key in reached or code.scope.in_thread:
                continue
            reached[code.key] = code
            waiting.extend(self._next(code))
        return reached

    def _roots(self, ref: ClassRef, hooks: frozenset[str]) -> Iterator[Code]:
        anything = bool(self._program.foreign_bases(ref))
        threaded = {name for each in self._program.own_mro(ref) for name in each.facts.threaded}
        named = {text for each in self._program.own_mro(ref) for text in _texts(each)}
        for name, (owner, scope) in self._program.methods(ref).items():
            wanted = name in hooks or name in named or (anything and not name.startswith("_"))
            if wanted and name not in threaded - named:
                yield Code(owner.module, scope, ref)
        yield from self._attributes(ref)

    def _attributes(self, ref: ClassRef) -> Iterator[Code]:
        """Functions in the body of a class, such as the processors of an item loader or its item class."""
        waiting, seen = [ref], {ref.key}
        while waiting:
            each = waiting.pop()
            for place in self._handed_on(each):
                if place.kind == "class" and place.owner is not None and place.owner.key not in seen:
                    seen.add(place.owner.key)
                    waiting.append(place.owner)
                yield from self._function(place)

    def _handed_on(self, ref: ClassRef) -> Iterator[Place]:
        """Return what the attributes of a class, and of the project's classes above it, are made of."""
        for each in self._program.own_mro(ref):
            for value in each.facts.attributes.values():
                for path in value.names:
                    if (place := self._program.resolve(path, ref)) is not None:
                        yield place

    def _next(self, code: Code) -> list[Code]:
        if code.key not in self._onward:
            self._onward[code.key] = [
                *self._called(code, [use.path for use in code.scope.calls]),
                *self._called(code, code.scope.names),
                *self._any_method(code),
            ]
        return self._onward[code.key]

    def _called(self, code: Code, paths: Iterable[str]) -> Iterator[Code]:
        for path in paths:
            place = code.resolve(self._program, path)
            if place is None or place.kind == "external":
                continue
            if place.kind == "function":
                yield from self._function(place, code)
            elif place.kind == "instance" and place.owner is not None and not place.rest:
                yield from self._made(place.owner)
            elif place.kind == "variable" and place.value is not None:
                for name in place.value.names:
                    yield from self._function(self._program.resolve(name, None))

    def _function(self, place: Place | None, code: Code | None = None) -> Iterator[Code]:
        if place is None or place.kind != "function" or place.module is None or place.scope is None:
            return
        inner = code is not None and place.scope.name.startswith(f"{code.scope.name}.")
        context = code.context if inner and code is not None else place.owner
        yield Code(place.module, place.scope, context)

    def _made(self, ref: ClassRef) -> Iterator[Code]:
        for name in _MADE:
            if (found := self._program.method(ref, name)) is not None:
                yield Code(found[0].module, found[1], ref)
        yield from self._attributes(ref)

    def _any_method(self, code: Code) -> Iterator[Code]:
        if not code.scope.any_method or code.context is None:
            return
        for name, (owner, scope) in self._program.methods(code.context).items():
            if name not in owner.facts.threaded:
                yield Code(owner.module, scope, code.context)


def _texts(ref: ClassRef) -> Iterator[str]:
    for value in ref.facts.attributes.values():
        yield from value.texts
