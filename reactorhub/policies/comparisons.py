"""The language of expectations: comparisons with numbers, and with what earlier runs measured.

``>= 0.7 * median(10) and < 5000`` becomes frozen values. Numbers are exact fractions, so that a share of 999
in 1000 is 99.9 %, and nothing overflows. Nothing is evaluated as Python.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, ClassVar

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken

from reactorhub.triggers import durations

MAX_LENGTH = 200  # characters of a text
MAX_DEPTH = 20  # levels of parentheses
MAX_RUNS = 100  # how many earlier runs a text may ask for
FEWEST_RUNS = 3  # with fewer values than this, or than were asked for, the past is unknown
EXAMPLES = 'write it like ">= 100", "< 30m", ">= 95%" or ">= 0.7 * median(10)"'

Past = Sequence[Fraction | None]
"""The values of earlier runs, newest first. None stands for a run without a value."""
Call = Callable[..., Any]

_GRAMMAR = r"""
    start: comparison ("and" comparison)*
    comparison: COMPARE sum
    ?sum: product | sum (PLUS | MINUS) product -> operation
    ?product: factor | product (TIMES | OVER) factor -> operation
    ?factor: atom | MINUS atom -> negative
    ?atom: NUMBER -> number
        | PERCENT -> percent
        | SPAN -> span
        | NAME "(" [NUMBER] ")" -> past
        | "(" sum ")"

    COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
    PLUS: "+"
    MINUS: "-"
    TIMES: "*"
    OVER: "/"
    NUMBER: /[0-9]{1,15}(\.[0-9]{1,6})?/
    PERCENT.2: /[0-9]{1,15}(\.[0-9]{1,6})? ?%/
    SPAN.2: /([0-9]{1,9}(\.[0-9]{1,6})?[dhms])+/
    NAME: /[A-Za-z_]+/
    %ignore /\s+/
"""
_LAST_NAME = re.compile(r"(?<![\w.])(?!and\b)([A-Za-z_]+)\s*$")
"""The name at the end of a text that lacks the parentheses of a function."""

_COMPARE: Mapping[str, Call] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CALCULATE: Mapping[str, Call] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _median(values: Sequence[Fraction]) -> Fraction:
    middle, ordered = len(values) // 2, sorted(values)
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values)


FUNCTIONS: Mapping[str, Callable[[Sequence[Fraction]], Fraction]] = {
    "median": _median,
    "mean": _mean,
    "min": min,
    "max": max,
    "last": lambda values: values[0],
}
"""The functions that a text may apply to earlier runs."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: Fraction
    runs: ClassVar[int] = 0

    def of(self, past: Past) -> Fraction | None:
        """Return the number."""
        return self.value


@dataclass(frozen=True, slots=True)
class Asked:
    """A function of the values of the last ``runs`` runs."""

    function: str
    runs: int

    def of(self, past: Past) -> Fraction | None:
        """Return the result; None if there are too few values."""
        values = [value for value in past[: self.runs] if value is not None]
        return FUNCTIONS[self.function](values) if len(values) >= min(self.runs, FEWEST_RUNS) else None


@dataclass(frozen=True, slots=True)
class Operation:
    """An arithmetic operation on two expressions."""

    left: Expression
    sign: str
    right: Expression

    @property
    def runs(self) -> int:
        """The number of earlier runs that are needed."""
        return max(self.left.runs, self.right.runs)

    def of(self, past: Past) -> Fraction | None:
        """Return the result; None if a value is unknown, or for a division by zero."""
        left, right = self.left.of(past), self.right.of(past)
        if left is None or right is None or (self.sign == "/" and not right):
            return None
        result: Fraction = _CALCULATE[self.sign](left, right)
        return result


Expression = Number | Asked | Operation


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison with the value of an expression. ``text`` is the expression as it was written."""

    sign: str
    right: Expression
    text: str

    @property
    def runs(self) -> int:
        """The number of earlier runs that are needed."""
        return self.right.runs

    def fault(self, value: Fraction, past: Past, shown: Callable[[Fraction], str]) -> str | None:
        """Return what was expected if the comparison is false; None if it is true or cannot be decided.

        :param shown: formats a number for people.
        """
        right = self.right.of(past)
        if right is None or _COMPARE[self.sign](value, right):
            return None
        return f"{self.sign} {shown(right)} ({self.text})" if self.runs else f"{self.sign} {self.text}"


def equal_to(number: float) -> Comparison:
    """Return the comparison that a bare number stands for.

    :raises ValueError: if the number is not finite.
    """
    exact = fraction(number)
    if exact is None:
        raise ValueError(f"{number!r} is not a number; {EXAMPLES}")
    return Comparison("==", Number(exact), str(number))


def fraction(value: object) -> Fraction | None:
    """Return the exact value of a number in decimal notation. True is 1. None if the value is not a number.

    Never raises, whatever class a spider made of the value.
    """
    kind = type(value)  # its own methods are not trusted: a spider may have overridden them
    if issubclass(kind, Fraction):
        return value  # type: ignore[return-value]
    if issubclass(kind, int):
        return Fraction(int.__index__(value))  # type: ignore[arg-type]
    if not issubclass(kind, float):
        return None
    try:
        return Fraction(float.__repr__(value))
    except ValueError:  # nan and the infinities
        return None


MAX_COUNT = 10**15
"""The limit of a count. A spider may put any number into its stats."""


def count_of(value: object) -> int:
    """Return a value as a count: 0 if it is not a number or is negative, and at most :data:`MAX_COUNT`."""
    return min(max(int(fraction(value) or 0), 0), MAX_COUNT)


@lru_cache(maxsize=10_000)
def comparisons(text: str) -> tuple[Comparison, ...]:
    """Parse a text into comparisons that must all hold.

    :raises ValueError: with a sentence that shows the first character that cannot be read.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters; make it shorter")
    if _depth(text) > MAX_DEPTH:
        raise ValueError(f"has more than {MAX_DEPTH} nested parentheses; make it simpler")
    try:
        found: list[tuple[Token, Expression]] = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedInput as error:
        raise ValueError(_complaint(text, error)) from None
    ends = [*(sign.start_pos for sign, _ in found[1:]), None]
    return tuple(
        Comparison(str(sign), right, _quoted(text[sign.end_pos : end]))
        for (sign, right), end in zip(found, ends, strict=True)
    )


def _quoted(text: str) -> str:
    """Return a right side as it is written, without the ``and`` that follows it."""
    return " ".join(text.split()).removesuffix("and").rstrip()


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in re.findall("[()]", text):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    return deepest


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Reader())


def _complaint(text: str, error: UnexpectedInput) -> str:
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if (found := _LAST_NAME.search(text if ended else text[: error.pos_in_stream or 0])) is not None:
        return f"{found[1]!r} is not a number; {EXAMPLES}"
    if ended:
        return f"{text!r} ends too early; {EXAMPLES}" if text.strip() else f"must not be empty; {EXAMPLES}"
    rest = text[error.pos_in_stream or 0 :]
    if rest.strip() == text.strip():
        return f"{text!r} does not begin with one of {', '.join(_COMPARE)}; {EXAMPLES}"
    return f"{text!r} cannot be read from {rest!r} on; {EXAMPLES}"


@v_args(inline=True)
class _Reader(Transformer[Any, Any]):
    """Turns the parse tree into values."""

    def start(self, *found: tuple[Token, Expression]) -> list[tuple[Token, Expression]]:
        return list(found)

    def comparison(self, sign: Token, right: Expression) -> tuple[Token, Expression]:
        return sign, right

    def operation(self, left: Expression, sign: str, right: Expression) -> Expression:
        result = Operation(left, str(sign), right)
        if sign == "/" and isinstance(right, Number) and not right.value:
            raise ValueError(f"it divides by zero; {EXAMPLES}")
        if result.runs or (value := result.of(())) is None:
            return result
        return Number(value)

    def negative(self, sign: str, right: Expression) -> Expression:
        return self.operation(Number(Fraction()), sign, right)

    def number(self, text: str) -> Number:
        return Number(Fraction(text))

    def percent(self, text: str) -> Number:
        return Number(Fraction(text.rstrip(" %")) / 100)

    def span(self, text: str) -> Number:
        return Number(Fraction(durations.duration(str(text)) // timedelta(microseconds=1), 1_000_000))

    def past(self, name: str, runs: str | None) -> Asked:
        if name not in FUNCTIONS:
            near = get_close_matches(name, FUNCTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FUNCTIONS)}"
            raise ValueError(f"there is no function {str(name)!r}; {hint}")
        if name == "last" and runs is None:
            return Asked("last", 1)
        if name == "last" or runs is None or not runs.isdecimal() or not 1 <= int(runs) <= MAX_RUNS:
            raise ValueError(
                f"{name}({runs or ''}) is not possible; write last(), or a number of runs up to {MAX_RUNS},"
                " such as median(10)"
            )
        return Asked(str(name), int(runs))
