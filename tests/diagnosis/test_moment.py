"""What became of one moment: its row, or the very reason why there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactorhub.diagnosis.moment import Answer, explain, reading_of, time_before
from reactorhub.model.schedule import Catchup, Schedule, TickOutcome
from reactorhub.policies.jitter import start_at
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.durations import INSTANT
from reactorhub.triggers.rules import After, Interval, Once, Trigger
from reactorhub.triggers.window import ExcludedDays, ExcludedTimes, Window
from tests.diagnosis.test_findings import GONE, HOUR, HOURLY, MINUTE, NOW, evidence, tick

NIGHTLY = Cron.parse(("30 2 * * *",), "Europe/Berlin")
ONE = NOW - 20 * MINUTE  # 13:00 in Berlin, a time of the hourly schedule that is accounted for


def asked(moment: datetime, schedule: Schedule = HOURLY, row: Any = None, **facts: Any) -> Answer:
    """The answer for a moment."""
    return explain(evidence(schedule, **facts), moment, row)


def narrowed(**bounds: Any) -> Schedule:
    """An hourly schedule, narrowed."""
    return replace(HOURLY, trigger=Window(Interval(HOUR), **bounds))


CHRISTMAS = ExcludedDays(date(2026, 11, 22), date(2026, 11, 22), "UTC")
NOON = ExcludedTimes("* 12 * * *", "UTC")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            asked(ONE, row=tick(20 * MINUTE, TickOutcome.RUN, run_id="r1")),
            "run",
            "it was run, as run r1; recorded at Sun 2026-11-22 13:00:00 CET",
        ),
        (asked(ONE, row=tick(20 * MINUTE, reason="why")), "skipped", "it was skipped: why; recorded"),
        (
            asked(ONE, row=tick(99 * HOUR, TickOutcome.MISSED, "99 more ticks missed", until=NOW)),
            "missed",
            "it was missed: 99 more ticks missed; recorded",
        ),
        (
            asked(ONE + MINUTE, row=tick(99 * HOUR, TickOutcome.MISSED, "many", until=NOW)),
            "not_a_time",
            "this is not a time of 1h; the one before is Sun 2026-11-22 13:00:00 CET; the next one is Sun",
        ),
        (asked(ONE, replace(HOURLY, trigger=None)), "no_trigger", "it has no trigger"),
        (
            asked(ONE, replace(HOURLY, trigger=After(("x",), ("failed",)))),
            "follows",
            "it has no times of its own",
        ),
        (
            asked(ONE, narrowed(start=NOW)),
            "before_start",
            "this is before its start_time, Sun 2026-11-22 13:20",
        ),
        (
            asked(ONE, narrowed(end=ONE - HOUR)),
            "after_end",
            "this is after its end_time, Sun 2026-11-22 12:00",
        ),
        (
            asked(ONE, narrowed(exclude=(CHRISTMAS, NOON))),
            "excluded",
            "it is excluded by: 2026-11-22, * 12 * * *",
        ),
        (asked(ONE + HOUR), "future", "this is in the future"),
        (asked(ONE, replace(HOURLY, enabled=False)), "disabled", "it is disabled, and the times of"),
        (
            explain(replace(evidence(), progress=None), ONE, None),
            "not_taken_up",
            "no hub has loaded it yet",
        ),
        (
            explain(replace(evidence(), fingerprint="x"), ONE, None),
            "edited",
            "its times in the file differ from those the hub uses",
        ),
        (
            asked(ONE, replace(HOURLY, max_runs=2), progress={"runs": 2}),
            "max_runs",
            "it is finished: 2 of its ticks",
        ),
        (asked(ONE), "newer", "it is newer than that, or its times were edited later"),
        (asked(ONE, first=tick(0 * MINUTE)), "newer", "it is newer than that"),
        (asked(ONE, first=tick(3 * HOUR)), "not_in_force", "it was not active then"),
    ],
)
def test_each_answer(answer: Answer, kind: str, words: str) -> None:
    """A moment has one answer, with its kind and a sentence."""
    assert (answer.kind, answer.text[: len(words)]) == (kind, words)


def owed(schedule: Schedule = HOURLY, **facts: Any) -> Any:
    """What is known where nothing since three hours ago is accounted for."""
    known = evidence(schedule, **facts)
    assert known.progress is not None
    return replace(known, progress=replace(known.progress, accounted_until=NOW - 3 * HOUR))


def test_what_no_hub_accounts_for_is_foretold() -> None:
    """While no hub runs, the answer says what the next start would make of the tick."""
    texts = {n: explain(owed(folder=GONE), ONE - n * HOUR, None).text for n in (0, 1)}
    assert "if one were started now, it would be missed: the hub was not running" in texts[1]
    assert texts[1].endswith("older than the catch-up window of 10m")
    wide = replace(HOURLY, catchup=Catchup.ALL, catchup_window=9 * HOUR)
    answer = explain(owed(wide, folder=GONE), ONE, None)
    assert (answer.kind, answer.text.endswith("it would run")) == ("no_hub", True)


def test_what_the_hub_has_not_accounted_for_yet() -> None:
    """While a hub runs, a time is behind, or waits for its jitter until a moment that is told."""
    assert explain(owed(), ONE, None).kind == "owed"
    names = (replace(HOURLY, name=f"s{n}", jitter=50 * MINUTE) for n in range(99))
    late = next(each for each in names if start_at(each, ONE) > NOW)
    answer = explain(owed(late), ONE, None)
    assert answer.kind == "jitter" and answer.text.startswith(
        "it is delayed by its jitter until Sun 2026-11-22 1"
    )


def test_the_second_pass_of_an_hour_is_explained() -> None:
    """A fixed time that comes twice runs the first time; who asks for the second is told so."""
    nightly = replace(HOURLY, trigger=NIGHTLY)
    answer = asked(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), nightly)
    assert answer.kind == "overlap" and "runs only at the first, Sun 2026-10-25 02:30:00 CEST" in answer.text
    assert answer.before == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_tick_that_was_moved_says_so() -> None:
    """A row of a tick in a gap tells that its local time did not exist."""
    moment = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    row = replace(tick(HOUR, TickOutcome.RUN, run_id="r1"), nominal_time=moment)
    assert (
        "so it was moved to the end of the gap" in asked(moment, replace(HOURLY, trigger=NIGHTLY), row).text
    )


@pytest.mark.parametrize(
    ("given", "moment", "note"),
    [
        ("2026-07-01T12:00:00.5", "2026-07-01T10:00:00.5+00:00", ""),
        ("2026-07-01T12:00:00+03:00", "2026-07-01T09:00:00+00:00", ""),
        (
            "2026-03-29T02:30:00",
            "2026-03-29T01:00:00+00:00",
            "02:30:00 does not exist that day in Europe/Berlin",
        ),
        (
            "2026-10-25T02:30:00",
            "2026-10-25T00:30:00+00:00",
            "02:30:00 occurs twice that day in Europe/Berlin",
        ),
    ],
)
def test_a_time_is_read_on_the_wall_clock(given: str, moment: str, note: str) -> None:
    """Without an offset it is local; one in a gap stands for its end, and both oddities are remarked."""
    found, remark = reading_of(datetime.fromisoformat(given), "Europe/Berlin")
    assert found == datetime.fromisoformat(moment) and remark.startswith(note) and bool(remark) == bool(note)


@settings(max_examples=50)
@given(
    st.sampled_from(
        [NIGHTLY, Interval(HOUR), Interval(timedelta(days=30)), Once(NOW), Cron.parse(("0 0 29 2 *",), "UTC")]
    ),
    st.timedeltas(timedelta(0), timedelta(days=2000)),
)
def test_the_time_before_is_the_last_one(trigger: Trigger, after: timedelta) -> None:
    """Between it and the moment there is no other time; where there is none, none is within ten years."""
    moment = NOW + after
    before = time_before(trigger, moment)
    if before is None:
        assert trigger.next_after(moment - timedelta(days=3000)) in (
            None,
            trigger.next_after(moment - INSTANT),
        )
    else:
        following = trigger.next_after(before)
        assert before < moment and (following is None or following >= moment)
