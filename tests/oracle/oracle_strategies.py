"""Schedules of every kind, as Hypothesis makes them up for the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.oracle.oracle_rules import SECOND, Rule, microseconds
from tests.support.hubs import START

BEGIN = microseconds(START) // SECOND
TIMED, CHAINED = ("a", "b", "c"), ("f", "g")

WHEN = st.one_of(
    st.tuples(st.just("interval"), st.sampled_from([1, 2, 5, 7, 23, 61]), st.none()),
    st.tuples(st.just("interval"), st.sampled_from([3, 13]), st.integers(BEGIN - 40, BEGIN + 40)),
    st.tuples(st.just("seconds"), st.sampled_from([2, 7, 20])),
    st.tuples(st.just("minutes"), st.sampled_from([1, 2, 15])),
    st.tuples(st.just("once"), st.integers(BEGIN, BEGIN + 100)),
    st.tuples(st.just("hand")),
)
WITHOUT = st.one_of(
    st.none(),
    st.tuples(st.just("seconds"), st.integers(1, 20), st.integers(21, 50)),
    st.tuples(st.just("minutes"), st.sampled_from([4, 7])),
)
STATES = st.sampled_from([["succeeded"], ["failed", "timed_out"], ["any"], ["cancelled", "interrupted"]])

OPTIONS: Any = {
    "jitter": st.sampled_from([3, 30]),
    "overlap": st.sampled_from(["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"]),
    "instances": st.sampled_from([1, 2]),
    "catchup": st.sampled_from(["skip", "latest", "all"]),
    "window": st.sampled_from([5, 30, 600]),
    "most": st.sampled_from([1, 3, 50]),
    "enabled": st.sampled_from([True, True, False]),
    "retries": st.integers(1, 2),
    "timeout": st.just(4_321_000),
    "runs": st.sampled_from([1, 5, 30]),
    "failures": st.integers(1, 3),
    "on_start": st.just(True),
}
OF_ALL = ("overlap", "instances", "enabled", "retries", "timeout", "failures", "on_start")
OF_CHAINS = (*OF_ALL, "runs")


@st.composite
def timed(draw: st.DrawFn, name: str) -> Rule:
    """A schedule with ticks of its own, or one that only runs by hand."""
    when = draw(WHEN)
    if when[0] == "hand":
        return allowed(Rule(name=name, when=when, **_options(draw, OF_ALL)))
    each = Rule(name=name, when=when, **draw(st.fixed_dictionaries({}, optional=OPTIONS)))
    if when[0] == "once" or draw(st.booleans()):
        bounds: dict[str, Any] = {}
    else:
        start = draw(st.one_of(st.none(), st.integers(BEGIN - 50, BEGIN + 50)))
        end = draw(st.one_of(st.none(), st.integers(BEGIN + 2000, BEGIN + 4000)))
        bounds = {"start": start, "end": end, "without": draw(WITHOUT)}
    return allowed(replace(each, **bounds))


def allowed(each: Rule) -> Rule:
    """A schedule as the file may say it; and one that buffers one catches up with one, since what becomes of
    several at once depends on how soon the first of them starts."""
    each = replace(each, instances=None) if each.overlap == "cancel_other" else each
    return replace(each, catchup="latest") if each.overlap == "buffer_one" else each


@st.composite
def chained(draw: st.DrawFn, name: str) -> Rule:
    """A schedule that runs after others."""
    after = draw(st.sampled_from([["a"], ["a", "b"], ["b", "c"]])) if name == "f" else ["f"]
    return allowed(Rule(name=name, when=("after", after, draw(STATES)), **_options(draw, OF_CHAINS)))


def _options(draw: st.DrawFn, keys: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = draw(st.fixed_dictionaries({}, optional={key: OPTIONS[key] for key in keys}))
    return found


def one(name: str) -> st.SearchStrategy[Rule]:
    """A schedule of this name."""
    return timed(name) if name in TIMED else chained(name)


def consistent(rules: dict[str, Rule]) -> list[Rule]:
    """The schedules without those that wait for one that is not there."""
    there = [name for name in TIMED if name in rules]
    for name in CHAINED:
        if name in rules and all(upstream in there for upstream in rules[name].when[1]):
            there.append(name)
    return [rules[name] for name in there]
