"""Stats of spiders become plain values, whatever class a spider makes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reactorhub.model.values import stats_view, trusted


def raises(*args: object, **kwargs: object) -> Any:
    """Raise what ``except Exception`` does not catch."""
    raise SystemExit("a stat")


SPECIAL = ("__repr__", "__str__", "__len__", "__eq__", "__lt__", "__gt__", "__iter__", "__index__", "__int__")
SPECIAL += ("__float__", "__getitem__", "__bool__", "__add__", "__format__", "items", "keys")


class Kind(type):
    """A class of classes that raises wherever it is asked."""

    __hash__ = __eq__ = raises  # type: ignore[assignment]
    __name__ = property(raises)  # type: ignore[assignment]


def hostile(base: type, *args: Any) -> Any:
    """Return an object of a subclass whose every method raises."""
    return type("Hostile", (base,), {**dict.fromkeys(SPECIAL, raises), "__hash__": lambda self: 1})(*args)


VALUES = [
    (hostile(object), "<Hostile that cannot be shown: SystemExit>"),
    (hostile(str, "text"), "text"),
    (hostile(int, 7), 7),
    (hostile(float, 0.5), 0.5),
    (hostile(list, [1, 2]), [1, 2]),
    (hostile(tuple, (1, 2)), [1, 2]),
    (hostile(dict, {"a": hostile(object)}), {"a": "<Hostile that cannot be shown: SystemExit>"}),
    (hostile(set, {1}), ["1"]),
    (Kind("Odd", (), {"__repr__": raises})(), "<Odd that cannot be shown: SystemExit>"),
]


@pytest.mark.parametrize(("value", "shown"), VALUES, ids=range(len(VALUES)))
def test_a_hostile_value_becomes_plain(value: Any, shown: Any) -> None:
    """Neither view nor trusted stats call its methods in vain; what comes out is of a built-in class."""
    for stats in (stats_view({"it": value}), trusted({"it": value})):
        assert json.loads(json.dumps(stats)) == {"it": shown}
        assert type(stats["it"]) is type(shown)


def test_a_hostile_name_becomes_text() -> None:
    """A stat whose name cannot be shown has a text that says so."""
    assert list(trusted({hostile(str, "x"): 1})) == ["<Hostile that cannot be shown: SystemExit>"]


def test_what_can_be_trusted_stays() -> None:
    """Numbers, texts, moments and None are handed on as they are."""
    stats = {"n": 1, "f": 1.5, "t": "x", "none": None, "b": True, "at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert trusted(stats) == stats
