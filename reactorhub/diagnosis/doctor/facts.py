"""What the doctor remembers of a module: plain values that can be kept under the file's digest.

Code is written down as *paths*: ``requests.Session().get`` is what ``Session().get`` means after
``from requests import Session``. ``()`` is the result of a call and ``[]`` an entry. A path begins with
``self`` or ``cls`` for the object a method belongs to, with ``super`` for its base classes, with
``builtins`` for a built-in function, and with a module otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BODY = ""
"""The scope of all code that runs when the module is imported."""


@dataclass(frozen=True, slots=True)
class Use:
    """A path on a line. ``argument`` is what the first argument of a call says, as far as the code tells."""

    line: int
    path: str
    argument: str | None = None
    last: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What is assigned to a name.

    ``path`` is where it comes from, ``container`` the kind of a list, dict, set, ... that is made here.
    ``calls`` are all calls that make it, and ``names`` all paths it is made of. ``texts`` are the texts in
    it, without the keys of a dict that stand for None. ``literal`` is a number, text, bool or None;
    ``entries`` are those of a dict with texts as keys.
    """

    line: int
    path: str | None = None
    container: str = ""
    calls: tuple[Use, ...] = ()
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    literal: object = ...
    entries: Mapping[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Scope:
    """The code of a function, or of a module's body with all class bodies in it.

    ``calls`` are made, ``names`` are read or handed on, ``writes`` are changed by assignment. ``defaults``
    are calls in the function's default values. ``in_thread`` marks a function that a thread runs.
    ``kept`` are writes that keep a value for later (``if client is None: client = ...``). ``any_method``
    says that methods are looked up by names that only exist at run time.
    """

    name: str
    line: int
    owner: str | None = None
    calls: list[Use] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    writes: list[Use] = field(default_factory=list)
    defaults: list[Use] = field(default_factory=list)
    in_thread: bool = False
    kept: set[str] = field(default_factory=set)
    any_method: bool = False


@dataclass(slots=True)
class Class:
    """A class: its base classes as paths, the attributes in its body, and what its methods assign to self.

    ``threaded`` are methods that are handed to a thread.
    """

    name: str
    line: int
    bases: tuple[str, ...]
    attributes: dict[str, Value] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    assigned: dict[str, Value] = field(default_factory=dict)
    threaded: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Module:
    """All the doctor knows of a module. ``error`` says why it cannot be parsed; then the rest is empty."""

    name: str
    file: str
    line_of_error: int = 0
    error: str = ""
    imports: dict[str, str] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    stars: list[str] = field(default_factory=list)
    scopes: dict[str, Scope] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    silenced: frozenset[int] = frozenset()
