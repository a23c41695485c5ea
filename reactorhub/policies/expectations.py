"""The expectations of a schedule, and how a run is measured against them.

An expectation is a metric and a condition. :mod:`reactorhub.policies.comparisons` parses conditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import Any

from reactorhub.errors import shortened
from reactorhub.model.run import Run
from reactorhub.model.values import stats_view
from reactorhub.policies.comparisons import EXAMPLES, Comparison, Number, comparisons, equal_to, fraction
from reactorhub.triggers.durations import duration_text

FIELDS = "fields"
FINISH_REASON = "finish_reason"
FIELD_COUNT = "item_field_count/"
"""The prefix of the stat that counts items with a field. The field's name follows."""

MAX_EXPECTATIONS = 100  # expectations of one schedule, fields included
MAX_NAME = 200  # characters of a name
_SCRAPED = "item_scraped_count"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ALIKE = 0.8  # from this similarity on (difflib's ratio), a name counts as a misspelt metric
_MICROSECOND = timedelta(microseconds=1)


def _duration(run: Run) -> Fraction | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return Fraction((run.finished_at - run.started_at) // _MICROSECOND, 1_000_000)


_METRICS: Mapping[str, Callable[[Run], object]] = {
    "items": lambda run: run.stats.get(_SCRAPED, 0),
    "errors": lambda run: run.errors,
    "duration": _duration,
    FINISH_REASON: lambda run: run.finish_reason,
}
"""The hub's own metrics, which are not stats of the crawl."""

METRICS = (*_METRICS, FIELDS)
"""All names that do not mean a stat."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The condition for one metric: it equals one of ``texts``, or all ``comparisons`` hold.

    If ``field`` is set, the metric is the share of the items that have this field.
    """

    metric: str
    comparisons: tuple[Comparison, ...] = ()
    texts: tuple[str, ...] = ()
    field: str | None = None

    @property
    def history(self) -> int:
        """The number of earlier runs that are needed."""
        return max((each.runs for each in self.comparisons), default=0)

    def complaints(self, run: Run, history: Sequence[Run]) -> Iterator[str]:
        """Yield a sentence for each condition that does not hold. ``history`` is as for :func:`unmet`."""
        found = self._found(run)
        if self.texts:
            if found not in self.texts:
                yield f"{self.metric} is {found}, expected {' or '.join(self.texts)}"
        elif self.field is None or fraction(run.stats.get(_SCRAPED)):
            yield from self._faults(found, [fraction(self._found(each)) for each in history[: self.history]])

    def _faults(self, found: object, past: Sequence[Fraction | None]) -> Iterator[str]:
        value = fraction(found)
        if found is None:
            yield f"{self.metric} is unknown"
        elif value is None:
            yield f"{self.metric} is {_quoted(found)}, which is not a number"
        else:
            for each in self.comparisons:
                if fault := each.fault(value, past, self._shown):
                    yield f"{self.metric} is {self._shown(value)}, expected {fault}"

    def _found(self, run: Run) -> object:
        """The measured value; None if there is none."""
        if self.field is not None:
            return _share(run.stats.get(FIELD_COUNT + self.field), run.stats.get(_SCRAPED))
        measure = _METRICS.get(self.metric)
        return measure(run) if measure else run.stats.get(self.metric, 0)

    def _shown(self, value: Fraction) -> str:
        if self.field is not None:
            return f"{_decimal(Fraction(int(value * 10_000), 100))}%"  # cut: 99.999 % must not read as 100 %
        return _span(value) if self.metric == "duration" else _decimal(value)


def parse(metric: str, wish: object) -> Expectation:
    """Return the expectation for a metric.

    :param wish: a text or a number; for ``finish_reason`` a text or a list of texts.
    :raises ValueError: with a sentence, if there is no such metric or the condition cannot be read.
    """
    _check_name(metric)
    near = _slip(metric)
    if near is not None:
        raise ValueError(f"there is no metric {metric!r}; did you mean {near!r}?")
    if metric == FINISH_REASON:
        return Expectation(metric, texts=_texts(wish))
    return Expectation(metric, _comparisons(wish))


def parse_field(field: str, wish: object) -> Expectation:
    """Return the expectation for the share of items that have a field.

    :raises ValueError: with a sentence, if the field or the condition cannot be read.
    """
    _check_name(field)
    if not all(field.split(".")):
        raise ValueError(f"{field!r} is not a field; write name, or outer.inner")
    found = _comparisons(wish)
    if any(isinstance(each.right, Number) and each.right.value > 1 for each in found):
        raise ValueError('a share is at most 100%; write it with a %, like ">= 95%"')
    return Expectation(f"{FIELDS}.{field}", found, field=field)


def read(expect: Mapping[str, Any]) -> tuple[Expectation, ...]:
    """Return all expectations in a run's spec.

    :raises ValueError: if one of them cannot be read.
    """
    own = (parse(metric, wish) for metric, wish in expect.items() if metric != FIELDS)
    return (*own, *(parse_field(field, wish) for field, wish in _fields(expect).items()))


def expected_reasons(expect: Mapping[str, Any]) -> frozenset[str]:
    """Return the finish reasons that a run's spec names as good. Never raises."""
    try:
        return frozenset(_texts(expect[FINISH_REASON]))
    except (KeyError, ValueError):
        return frozenset()


def counted_fields(expect: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that a crawl must count for its expectations."""
    return tuple(_fields(expect))


def unmet(expectations: Iterable[Expectation], run: Run, history: Sequence[Run]) -> list[str]:
    """Return a sentence for each expectation that does not hold. Never raises.

    :param run: a run that has ended.
    :param history: earlier succeeded runs of the same schedule, newest first. A comparison that needs more
        runs than there are holds while there are fewer than three.
    """
    return [said for each in expectations for said in each.complaints(run, history)]


@lru_cache(maxsize=1000)
def _slip(name: str) -> str | None:
    """Return the metric of which a name is a misspelling: nearly the same, with as many words."""
    near = get_close_matches(name.lower(), METRICS, n=1, cutoff=_ALIKE)
    if name in METRICS or not near or not name.replace("_", "").isalpha():
        return None
    return near[0] if near[0].count("_") == name.count("_") else None


def _fields(expect: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = expect.get(FIELDS)
    return fields if isinstance(fields, Mapping) else {}


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME or _UNPRINTABLE.search(name):
        raise ValueError(f"a name must be one line of text, not empty, of up to {MAX_NAME} characters")


def _comparisons(wish: object) -> tuple[Comparison, ...]:
    if isinstance(wish, str):
        return comparisons(wish)
    if isinstance(wish, bool) or not isinstance(wish, int | float):
        raise ValueError(f"must be a comparison; {EXAMPLES}")
    return (equal_to(wish),)


def _texts(wish: object) -> tuple[str, ...]:
    texts = (wish,) if isinstance(wish, str) else tuple(wish) if isinstance(wish, list) else ()
    if not texts or not all(isinstance(text, str) and re.fullmatch(r"\w[\w .:/-]*", text) for text in texts):
        raise ValueError("must be a reason to finish, or a list of them, such as finished")
    return texts


def _share(count: object, items: object) -> Fraction | None:
    part, whole = fraction(count), fraction(items)
    return part / whole if part is not None and whole else None


def _quoted(value: object) -> str:
    return shortened(repr(stats_view({"value": value})["value"]))


def _decimal(value: Fraction) -> str:
    """Format a number with up to nine digits. A whole number has all its digits unless it is huge."""
    if value.denominator == 1 and abs(value) < 10**15:
        return str(value.numerator)
    try:
        return f"{float(value):.9g}"
    except OverflowError:
        return "beyond 1e308"


def _span(seconds: Fraction) -> str:
    """Format a duration: ``1h30m``."""
    if not 0 < seconds < 10**10:
        return f"{_decimal(seconds)}s"
    return duration_text(timedelta(milliseconds=round(seconds * 1000)))
