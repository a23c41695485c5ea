"""What is noted of the slots: stretches of time, and jams."""

from __future__ import annotations

from reactorhub.forecast.contention import Jam, Pressure, Stretch


def test_use_is_added_up_stretch_by_stretch() -> None:
    """Seconds of use are split where a stretch ends; one that begins with a crowd has its peak at once."""
    pressure = Pressure([0.0, 10.0, 30.0])
    pressure.start()
    pressure.look(3)
    pressure.go_on(25.0, used=2, wanted=3)
    pressure.look(1)
    assert pressure.stretches == [
        Stretch(0.0, 10.0, starts=1, busy=20.0, peak=3),
        Stretch(10.0, 30.0, starts=0, busy=30.0, peak=3),
    ]


def test_after_the_end_nothing_is_added() -> None:
    """What happens beyond the last stretch, or once closed, is in none of them."""
    pressure = Pressure([0.0, 10.0])
    pressure.go_on(5.0, 1, 1)
    pressure.close()
    pressure.go_on(50.0, 1, 9)
    pressure.start()
    assert pressure.stretches == [Stretch(0.0, 10.0, busy=5.0)]


def test_a_jam_lasts_while_somebody_waits() -> None:
    """It has all names and the worst figures; the next one after an end is another; hours know of it."""
    pressure = Pressure([0.0, 10.0, 20.0])
    pressure.jam("hub", {"a", "b"}, 3)
    pressure.go_on(12.0, 1, 3)
    pressure.jam("hub", {"c"}, 4)
    assert pressure.is_jammed("hub") and not pressure.jams
    pressure.release("hub", since=0.0)
    pressure.go_on(13.0, 1, 1)
    pressure.release("hub", since=12.0)
    pressure.jam("hub", {"d"}, 2)
    pressure.release("hub", since=13.0)
    assert pressure.jams == [
        Jam("hub", 0.0, {"a", "b", "c"}, wanted=4, longest=12.0),
        Jam("hub", 13.0, {"d"}, wanted=2),
    ]
    assert [stretch.short for stretch in pressure.stretches] == [{"hub"}, {"hub"}]
