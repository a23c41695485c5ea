"""The language of expectations: what it says, what it refuses, and that nothing else can come of a text."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.policies.comparisons import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_RUNS,
    comparisons,
    equal_to,
    fraction,
)


def right(text: str, *past: int | None) -> Fraction | None:
    """What the right side of a text with one comparison comes to."""
    (comparison,) = comparisons(text)
    return comparison.right.of([None if value is None else Fraction(value) for value in past])


def holds(text: str, value: object, *past: int | None) -> bool:
    """Whether all comparisons of a text hold for a value."""
    exact = fraction(value)
    assert exact is not None
    history = [None if each is None else Fraction(each) for each in past]
    return not any(each.fault(exact, history, str) for each in comparisons(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (">= 100", 100),
        ("== 0", 0),
        ("<0.25", Decimal("0.25")),
        ("< 90s", 90),
        ("< 30m", 1800),
        ("< 1h30m", 5400),
        ("< 0.5s", Decimal("0.5")),
        (">= 95%", Decimal("0.95")),
        (">= 99.9 %", Decimal("0.999")),
        ("> -3", -3),
        ("> 2 + 3 * 4", 14),
        ("> (2 + 3) * 4", 20),
        ("> 7 - 2 - 1", 4),
        ("> 1 / 3 * 3", 1),
        ("> 12 / 3 / 2", 2),
        ("> -(1 + 1)", -2),
        ("> 2 * -3", -6),
        (">\n 999999999999999", 999999999999999),
    ],
)
def test_right_sides(text: str, value: int | Decimal) -> None:
    """Numbers, shares and time spans are exact; signs bind as everywhere."""
    assert right(text) == Fraction(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("> median(4)", 3),
        ("> median(5)", 4),
        ("> mean(4)", 4),
        ("> min(5)", 1),
        ("> max(5)", 9),
        ("> max(4)", 9),
        ("> last()", 2),
        ("> 0.5 * median(5) + last()", 4),
    ],
)
def test_functions_of_the_past(text: str, value: int) -> None:
    """A function takes the newest values, as many as it asks for."""
    assert right(text, 2, 4, 1, 9, 7, 100) == value


@pytest.mark.parametrize(
    ("text", "past", "known"),
    [
        ("> last()", [], False),
        ("> last()", [1], True),
        ("> max(2)", [1], False),
        ("> max(2)", [1, 1], True),
        ("> max(10)", [1, 1], False),
        ("> max(10)", [1, 1, 1], True),
        ("> max(10)", [1, None, 1, None, 1], True),
        ("> max(3)", [1, None, 1, 1], False),
        ("> max(10) + last()", [None, 1, 1, 1], False),
        ("> 3 / last()", [0], False),
        ("> 3 / last()", [2], True),
    ],
)
def test_too_little_past(text: str, past: list[int | None], known: bool) -> None:
    """With fewer than three values, or than were asked for, nothing is known; nor is what is over zero."""
    assert (right(text, *past) is not None) is known
    assert known or holds(text, -1, *past)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("== 3", [3]),
        ("!= 3", [2, 4]),
        ("< 3", [2]),
        ("<= 3", [2, 3]),
        ("> 3", [4]),
        (">= 3", [3, 4]),
        ("> 2 and <= 3 and != 4", [3]),
    ],
)
def test_signs(text: str, values: list[int]) -> None:
    """Each sign compares as everywhere, and all that ``and`` joins has to hold."""
    assert [value for value in (2, 3, 4) if holds(text, value)] == values


@pytest.mark.parametrize(
    ("text", "value"),
    [(">= 1.1 * median(3)", 110), ("== 0.1 * median(3)", 10), ("<= 0.7 * median(3)", 70)],
)
def test_no_noise_of_floats(text: str, value: int) -> None:
    """1.1 times 100 is 110, not a little more."""
    assert holds(text, value, 100, 100, 100)


def test_what_was_expected() -> None:
    """A fault quotes what was written, and beside what the past came to."""
    (first, second) = comparisons("<= 2 * 60  and  >=0.7 *  median(3)")
    past = [Fraction(n) for n in (100, 90, 110)]
    assert first.fault(Fraction(121), past, str) == "<= 2 * 60"
    assert second.fault(Fraction(69), past, str) == ">= 70 (0.7 * median(3))"
    assert second.fault(Fraction(70), past, str) is None
    assert (first.runs, second.runs) == (0, 3)
    nested, glued, last = comparisons(">= (1 + (2)) * median(3)and<(4)and == 3m")
    assert (nested.text, glued.text, last.text) == ("(1 + (2)) * median(3)", "(4)", "3m")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must not be empty; write it like"),
        (" \n", "must not be empty; write it like"),
        ("100", "'100' does not begin with one of ==, !=, <, <=, >, >=; write it like"),
        ("= 100", "'= 100' does not begin with one of"),
        ("finished", "'finished' does not begin with one of"),
        (">=", "'>=' ends too early; write it like"),
        (">= 3 and", "'>= 3 and' ends too early"),
        (">= (3", "ends too early"),
        (">= 3)", "cannot be read from ')' on"),
        (">= 1,000", "cannot be read from ',000' on"),
        (">= 1e6", "cannot be read from 'e6' on"),
        (">= 3 or < 1", "cannot be read from 'or < 1' on"),
        ("> 1 < 3", "cannot be read from '< 3' on"),
        (">= --3", "cannot be read from '-3' on"),
        (">= 1234567890123456", "cannot be read from '6' on"),
        (">= ٣", "cannot be read from"),
        (">= __import__('os')", "cannot be read from \"'os')\" on"),
        (">= items", "'items' is not a number; write it like"),
        (">= 2 * items + 3", "'items' is not a number"),
        (">= downloader/request_count", "'downloader' is not a number"),
        ("== nan", "'nan' is not a number"),
        (">= median", "'median' is not a number; write it like"),
        (">= ().__class__", "cannot be read from ').__class__' on"),
        (">= 0.7median(10)", "cannot be read from 'edian(10)' on"),
        (">= 3 / 0", "it divides by zero; write it like"),
        (">= median(3) / (1 - 1)", "it divides by zero; write it like"),
        (">= medain(3)", "there is no function 'medain'; did you mean 'median'?"),
        (">= __import__(3)", "there is no function '__import__'; there are median, mean, min, max, last"),
        (">= median()", "median() is not possible; write last()"),
        (">= median(0)", "median(0) is not possible"),
        (f">= median({MAX_RUNS + 1})", "up to 100"),
        (">= median(1.5)", "is not possible"),
        (">= last(2)", "last(2) is not possible"),
        ("< 1m1h", "'1m1h' is not a duration"),
        ("< 0s", "must be more than 0s and at most 36500d, not '0s'"),
        (f">= {'(' * (MAX_DEPTH + 1)}1{')' * (MAX_DEPTH + 1)}", "make it simpler"),
        (f">= 1{' ' * MAX_LENGTH}", "make it shorter"),
    ],
)
def test_what_cannot_be_read(text: str, says: str) -> None:
    """A mistake is a sentence that shows where the text stops being readable, and how to write it."""
    with pytest.raises(ValueError, match=re.escape(says)):
        comparisons(text)


def test_bounds_are_within() -> None:
    """What is just as long, deep and old as it may be is read."""
    deep = f">= {'(' * MAX_DEPTH}1{')' * MAX_DEPTH}"
    assert comparisons(deep)[0].right.of(()) == 1
    assert len(comparisons(f">= 1{' ' * (MAX_LENGTH - 4)}")) == 1
    assert comparisons(f">= median({MAX_RUNS})")[0].runs == MAX_RUNS
    longest = ">= 1" + "+1" * ((MAX_LENGTH - 4) // 2)
    assert right(longest) == MAX_LENGTH // 2 - 1
    past = ">=last()" + "+last()" * ((MAX_LENGTH - 8) // 7)
    assert right(past, 1) == 1 + (MAX_LENGTH - 8) // 7


WORDS = st.sampled_from([*FUNCTIONS, *"()+-*/<3", "()", "(3)", "and", ">=", "==", "0", "95%", "30m", " "])
texts = st.text() | st.lists(WORDS, max_size=40).map(" ".join) | st.lists(WORDS, max_size=40).map("".join)
numbers = st.floats() | st.integers() | st.booleans()


@given(texts, numbers, st.lists(numbers | st.none(), max_size=6))
def test_any_text(text: str, value: float, past: list[Any]) -> None:
    """A text is refused with ValueError or judges every value with every past; nothing else comes of it."""
    try:
        found = comparisons(text)
    except ValueError as error:
        assert str(error)
        return
    exact = fraction(value)
    for comparison in found:
        if exact is not None:
            comparison.fault(exact, [fraction(each) for each in past], str)


ATOMS = st.sampled_from(["1", "2.5", "95%", "30m", "median(4)", "max(9)", "last()"])
expressions = st.recursive(
    ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
    max_leaves=8,
)


@given(expressions, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-5, 5))
def test_any_good_text(expression: str, sign: str, value: int) -> None:
    """What is built by the rules is read, but for a division by a zero that is written there; it agrees
    with Python's own arithmetic of fractions."""
    text = f"{sign} {expression}"
    names = {"95%": "F('0.95')", "30m": "F(1800)", "median(4)": "F(3)", "max(9)": "F(4)", "last()": "F(2)"}
    python = expression.replace("2.5", "F('2.5')").replace("1 ", "F(1) ").replace("(1", "(F(1)")
    for name, number in names.items():
        python = python.replace(name, number)
    try:
        wanted = Fraction(eval(python, {"F": Fraction}))
    except ZeroDivisionError:
        return
    if len(text) > MAX_LENGTH:
        return
    assert right(text, 2, 3, 3, 4) == wanted
    assert holds(text, value, 2, 3, 3, 4) is eval(f"value {sign} wanted")


class Odd(float):
    """A number that answers nothing."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __float__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (3, 3),
        (True, 1),
        (0.1, Fraction(1, 10)),
        (1e300, 10**300),
        (10**400, 10**400),
        (math.nan, None),
        (-math.inf, None),
        ("3", None),
        (None, None),
        ([3], None),
    ],
)
def test_numbers(value: object, exact: object) -> None:
    """Whole and other numbers are taken as they are written; what is not a number is none."""
    assert fraction(value) == exact


def test_an_odd_number() -> None:
    """A number that raises when it is looked at is taken for what it is."""
    assert fraction(Odd(2.5)) == Fraction(5, 2)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_bare_number(number: float) -> None:
    """It stands for being equal to it."""
    comparison = equal_to(number)
    exact = fraction(number)
    assert exact is not None
    assert comparison.fault(exact, (), str) is None
    assert comparison.fault(exact + 1, (), str) == f"== {number}"
    assert json.loads(comparison.text) == number


def test_no_bare_infinity() -> None:
    """What is not a number cannot be expected."""
    with pytest.raises(ValueError, match="inf is not a number; write it like"):
        equal_to(math.inf)
