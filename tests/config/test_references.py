"""What one place of the file takes from another, and from the environment."""

from __future__ import annotations

import pytest

from tests.config.config_cases import in_schedule, mistakes, read


def test_an_environment_value_counts_as_written_by_hand() -> None:
    """A variable without quotes may hold a number, and falls into the same traps as what is typed."""
    assert read("hub:\n  max_concurrent_runs: ${N}").max_concurrent_runs == 4
    assert read("hub:\n  max_concurrent_runs: ${UNSET:-7}").max_concurrent_runs == 7
    assert read("schedules:\n  a:\n    spider: s\n    args:\n      x: ${WORD}").schedules["a"].spec.args == {
        "x": "on"
    }
    assert mistakes("hub:\n  http: ${WORD}") == [
        "2:9: hub.http: must be text; put the value of ${WORD} in quotes"
    ]


def test_what_a_variable_holds_is_not_shown() -> None:
    """A secret in the wrong place does not end up in the log."""
    text = "hub:\n  shutdown_grace: ${SECRET}\n  timezone: ${SECRET}\n  max_queued_runs: ${SECRET}\n"
    assert all("hunter2" not in mistake for mistake in mistakes(text))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cron: '${SECRET}'", "the value of ${SECRET} is not a cron expression that ever matches; "),
        ("cron: ['@daily', '61 * * * ${SECRET}']", "the value of 61 * * * ${SECRET} is not a cron"),
        ("interval: 1h\n    exclude: '* * * ${SECRET} *'", "the value of * * * ${SECRET} * is not a cron"),
        ("queue: ${SECRET}", "there is no queue the value of ${SECRET} under hub.queues"),
        ("project: ${SECRET}", "there is no project the value of ${SECRET} under hub.projects"),
        ("after: ${SECRET}", "there is no schedule the value of ${SECRET}"),
        ("after: ['${SECRET}']", "there is no schedule the value of ${SECRET}"),
        ("notify: ${SECRET}", "there is no channel the value of ${SECRET} under hub.notify"),
        ("notify: {to: ['${SECRET}']}", "there is no channel the value of ${SECRET} under hub.notify"),
    ],
)
def test_what_a_variable_holds_is_not_shown_of_a_schedule(line: str, said: str) -> None:
    """Nor does one in a cron, or where a name is due."""
    (mistake,) = in_schedule(line)
    assert mistake.split(": ", 1)[1].startswith(said) and "hunter2" not in mistake


def test_what_follows_from_another_mistake_is_not_told() -> None:
    """A queue or project that has a mistake of its own is there all the same."""
    text = "hub:\n  queues: {heavy: x}\n  projects: 5\nschedules: {a: {spider: s, queue: heavy, project: p}}"
    assert [mistake.split(": ")[1] for mistake in mistakes(text)] == ["hub.queues.heavy", "hub.projects"]
    assert [
        mistake.split(": ")[1] for mistake in mistakes("hub: x\nschedules: {a: {spider: s, queue: q}}")
    ] == ["hub"]
