"""Placeholders in the arguments of schedules: those that name nothing are mistakes."""

from __future__ import annotations

import pytest

from tests.config.config_cases import mistakes, read


def schedules(args: str, more: str = "") -> str:
    """A file whose schedule ``a`` has this argument, and another schedule."""
    return f"schedules:\n  b: {{spider: s}}\n  a: {{spider: s{more}, args: {{x: '{args}'}}}}\n"


@pytest.mark.parametrize(
    "text", ["{run.id}", "{{run.idd}}", "{tick.nominal_time} {schedule.name}", "{other.name} {run} {}"]
)
def test_arguments_are_kept_as_they_are_written(text: str) -> None:
    """A schedule keeps its placeholders, and all other text in braces."""
    assert read(schedules(text)).schedules["a"].spec.args == {"x": text}


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("{run.idd}", "", "there is no {run.idd}; did you mean 'id'?"),
        ("{tick.x}", "", "there is no {tick.x}; there are: nominal_time"),
        ("{upstream.run_id}", "", "'{upstream...}' is only allowed with after, which names the upstream"),
        ("{upstream.x}", ", after: b", "there is no {upstream.x}; there are: run_id, schedule, state"),
    ],
)
def test_what_names_nothing_is_a_mistake(text: str, more: str, said: str) -> None:
    """It is reported at its argument, with a suggestion."""
    (mistake,) = mistakes(schedules(text, more))
    assert mistake.endswith(f": schedules.a.args.x: {said}")
