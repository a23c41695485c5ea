"""What is noted of the slots: stretches of time, and jams."""

from __future__ import annotations

from reactorhub.forecast.contention import Contention, ContentionMeter, Period


def test_use_is_added_up_stretch_by_stretch() -> None:
    """Seconds of use are split where a stretch ends; one that begins with a crowd has its peak at once."""
    meter = ContentionMeter([0.0, 10.0, 30.0])
    meter.start()
    meter.look(3)
    meter.go_on(25.0, used=2, wanted=3)
    meter.look(1)
    assert meter.periods == [
        Period(0.0, 10.0, starts=1, busy=20.0, peak=3),
        Period(10.0, 30.0, starts=0, busy=30.0, peak=3),
    ]


def test_after_the_end_nothing_is_added() -> None:
    """What happens beyond the last stretch, or once closed, is in none of them."""
    meter = ContentionMeter([0.0, 10.0])
    meter.go_on(5.0, 1, 1)
    meter.close()
    meter.go_on(50.0, 1, 9)
    meter.start()
    assert meter.periods == [Period(0.0, 10.0, busy=5.0)]


def test_a_jam_lasts_while_somebody_waits() -> None:
    """It has all names and the worst figures; the next one after an end is another; hours know of it."""
    meter = ContentionMeter([0.0, 10.0, 20.0])
    meter.contention("hub", {"a", "b"}, 3)
    meter.go_on(12.0, 1, 3)
    meter.contention("hub", {"c"}, 4)
    assert meter.is_contended("hub") and not meter.contentions
    meter.release("hub", since=0.0)
    meter.go_on(13.0, 1, 1)
    meter.release("hub", since=12.0)
    meter.contention("hub", {"d"}, 2)
    meter.release("hub", since=13.0)
    assert meter.contentions == [
        Contention("hub", 0.0, {"a", "b", "c"}, wanted=4, longest=12.0),
        Contention("hub", 13.0, {"d"}, wanted=2),
    ]
    assert [period.short for period in meter.periods] == [{"hub"}, {"hub"}]
