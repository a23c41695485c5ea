"""Settings, read from the text of a settings module: the components they name, and what the hub ignores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reactorhub.diagnosis.doctor.calls import finding
from reactorhub.diagnosis.doctor.facts import Module, Use, Value
from reactorhub.diagnosis.doctor.ignored import AS_FORCED, IGNORED_SETTINGS
from reactorhub.diagnosis.doctor.kinds import Harm
from reactorhub.diagnosis.doctor.program import ClassRef, Program
from reactorhub.model.doctor import Finding

_DOTTED = re.compile(r"\w+(\.\w+)+$")

Settings = dict[str, tuple[Module, Value]]
"""What a settings module assigns, and the module in which it does."""


def settings_of(program: Program, name: str | None) -> Settings:
    """Return the settings of a module, with those it takes over by ``from base import *``."""
    module = program.module(name) if name else None
    if module is None:
        return {}
    found: Settings = {}
    for star in module.stars:
        if star != name:
            found.update(settings_of(program, star))
    found.update({key: (module, value) for key, value in module.values.items() if key.isupper()})
    return found


def custom_settings(program: Program, ref: ClassRef) -> Settings:
    """Return what the nearest ``custom_settings`` of a spider sets, if it is a dict with plain keys."""
    found = program.attribute(ref, "custom_settings")
    if found is None:
        return {}
    owner, value = found
    return {key: (owner.module, entry) for key, entry in value.entries.items()}


def spider_modules(settings: Settings) -> tuple[str, ...]:
    """Return the modules under SPIDER_MODULES."""
    entry = settings.get("SPIDER_MODULES")
    return entry[1].texts if entry else ()


def components(program: Program, settings: Settings) -> Iterator[tuple[str, ClassRef]]:
    """Return the project's classes that settings enable, each with the setting's name."""
    for name, (_, value) in settings.items():
        if name in ("SPIDER_MODULES", "NEWSPIDER_MODULE"):
            continue
        paths = [text for text in value.texts if _DOTTED.match(text)]
        for path in dict.fromkeys((*paths, *value.names)):
            place = program.resolve(path, None)
            if place is not None and place.kind == "class" and place.owner is not None and not place.rest:
                yield name, place.owner


def ignored(settings: Mapping[str, tuple[Module, Value]]) -> Iterator[Finding]:
    """Return the settings that have no effect in the shared reactor."""
    for name, (module, value) in settings.items():
        remedy = IGNORED_SETTINGS.get(name)
        if remedy is None or (_hashable(value.literal) and value.literal in AS_FORCED.get(name, ())):
            continue
        harm = Harm("ignored-setting", "has no effect in the shared reactor", remedy)
        if found := finding(module, Use(value.line, name), f"{name} {harm.why}", harm):
            yield found


def _hashable(value: object) -> bool:
    return value is not ...
