"""The meter of the slots: periods and contentions."""

from __future__ import annotations

from reactorhub.forecast.contention import Contention, ContentionMeter, Period


def test_use_is_added_up_period_by_period() -> None:
    """Seconds of use are split where a period ends; a period that begins with waiting runs counts them."""
    meter = ContentionMeter([0.0, 10.0, 30.0])
    meter.count_start()
    meter.note_wanted(3)
    meter.advance(25.0, used=2, wanted=3)
    meter.note_wanted(1)
    assert meter.periods == [
        Period(0.0, 10.0, starts=1, busy=20.0, peak=3),
        Period(10.0, 30.0, starts=0, busy=30.0, peak=3),
    ]


def test_after_the_end_nothing_is_added() -> None:
    """Nothing is added to a period after the last one has ended, or once the meter is closed."""
    meter = ContentionMeter([0.0, 10.0])
    meter.advance(5.0, 1, 1)
    meter.close()
    meter.advance(50.0, 1, 9)
    meter.count_start()
    assert meter.periods == [Period(0.0, 10.0, busy=5.0)]


def test_a_contention_lasts_while_a_run_waits() -> None:
    """It has all names and the worst figures. A later wait is another contention. Periods name the limit."""
    meter = ContentionMeter([0.0, 10.0, 20.0])
    meter.begin_wait("hub", {"a", "b"}, 3)
    meter.advance(12.0, 1, 3)
    meter.begin_wait("hub", {"c"}, 4)
    assert meter.is_contended("hub") and not meter.contentions
    meter.end_wait("hub", since=0.0)
    meter.advance(13.0, 1, 1)
    meter.end_wait("hub", since=12.0)
    meter.begin_wait("hub", {"d"}, 2)
    meter.end_wait("hub", since=13.0)
    assert meter.contentions == [
        Contention("hub", 0.0, {"a", "b", "c"}, wanted=4, longest=12.0),
        Contention("hub", 13.0, {"d"}, wanted=2),
    ]
    assert [period.short for period in meter.periods] == [{"hub"}, {"hub"}]
