"""Checks a section of the schedule file against its keys, and words every mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from pydantic import ValidationError

from reactorhub.config.keys import Keys, mapping_or_nothing
from reactorhub.config.places import KeyPath, Report, suggestion
from reactorhub.config.values import NestedError
from reactorhub.config.yaml_source import Kind, Scalar, Tree
from reactorhub.errors import shortened

K = TypeVar("K", bound=Keys)


@dataclass(frozen=True, slots=True)
class Checked(Generic[K]):
    """A section after the check: its valid keys, all keys that the file gives, and which keys are wrong."""

    path: KeyPath
    keys: K
    given: tuple[str, ...]
    broken: frozenset[str]


def check(model: type[K], tree: Tree, path: KeyPath, report: Report) -> Checked[K]:
    """Check a section against ``model`` and report every mistake in it. Valid keys are kept."""
    tree = {} if tree is None else mapping_or_nothing(tree)
    given = tuple(tree) if isinstance(tree, dict) else ()
    try:
        return Checked(path, model.model_validate(tree), given, frozenset())
    except ValidationError as error:
        problems = error.errors(include_url=False)
    no_section = not isinstance(tree, dict)
    broken = frozenset(model.model_fields if no_section else (str(problem["loc"][0]) for problem in problems))
    for problem in problems:
        for inner, message, at_key in _sentences(problem, model):
            report.note(_trimmed((*path, *inner), report), message, at_key=at_key)
    kept = {key: value for key, value in tree.items() if key not in broken} if not no_section else {}
    return Checked(path, model.model_validate(kept), given, broken)


def _trimmed(path: KeyPath, report: Report) -> KeyPath:
    """The path of a value. A single value may stand for a list of one, and then has no index."""
    return path[:-1] if path and path not in report.positions.values and path[-1] == 0 else path


def _known(path: KeyPath, model: type[Keys]) -> Collection[str]:
    """The keys of the section that the key at ``path`` belongs to."""
    section: Any = model
    for part in path[:-1]:
        is_keys = isinstance(section, type) and issubclass(section, Keys)
        section = _bare(section.model_fields[part].annotation if is_keys else get_args(section)[-1])
    return cast(type[Keys], section).model_fields.keys()


def _bare(kind: Any) -> Any:
    """An annotation without its marks and without None."""
    while get_origin(kind) is Annotated or NoneType in get_args(kind):
        kind = get_args(kind)[0]
    return kind


def _sentences(problem: Mapping[str, Any], model: type[Keys]) -> Iterator[tuple[KeyPath, str, bool]]:
    """Word a mistake that pydantic found. Values that have been reported before are left out."""
    path: KeyPath = problem["loc"]
    given = problem["input"]
    error = problem.get("ctx", {}).get("error")
    if problem["type"] == "extra_forbidden":
        key = str(path[-1])
        yield path, f"unknown key {shortened(key)!r}{suggestion(key, _known(path, model))}", True
    elif isinstance(given, Scalar) and given.kind is Kind.BROKEN:
        return
    elif isinstance(error, NestedError):
        yield from (((*path, *inner), message, False) for inner, message in error.found)
    elif problem["type"] == "value_error":
        at_key = path[-1:] == ("[key]",)
        yield path[:-1] if at_key else path, str(error), at_key
    elif problem["type"] in ("list_type", "tuple_type"):
        yield path, "must be a list", False
    else:
        yield path, "must be a mapping of keys to values", False
