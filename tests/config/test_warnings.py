"""Who meets whom, and who never comes: by rule, without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reactorhub.config import HubConfig, parse, warnings
from reactorhub.config.warnings import Pile, crowded, in_vain, never_firing, pile_ups
from reactorhub.model.run import RunSpec
from reactorhub.model.schedule import Schedule
from reactorhub.triggers.cron import Cron
from reactorhub.triggers.rules import Interval

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def every(name: str, seconds: int, **rules: object) -> Schedule:
    """Return a schedule that ticks every so many seconds."""
    trigger = Interval(timedelta(seconds=seconds))
    return Schedule(name=name, spec=RunSpec(spider="s", project="p"), trigger=trigger, **rules)  # type: ignore[arg-type]


def config(schedules: str, hub: str = "{max_concurrent_runs: 2}") -> HubConfig:
    """Return a config with these schedules, of the spider ``s``."""
    text = f"hub: {hub}\ndefaults: {{spider: s}}\nschedules:\n{schedules}"
    return parse(text, "f.yaml", {}, Path("/nowhere"), "test")


def test_schedules_of_different_rules_pile_up() -> None:
    """Whoever is due in the same second counts, whatever trigger brings them there; a set is told once."""
    noon = Schedule(
        name="noon", spec=RunSpec(spider="s", project="p"), trigger=Cron.parse(("0 12 * * *",), "UTC")
    )
    outlook = pile_ups([every("a", 6 * 3600), every("b", 12 * 3600), noon], 1, NOW, NOW + DAY)
    midnight, next_noon = NOW + DAY / 2, NOW + DAY
    assert outlook.piles == (Pile(midnight, ("a", "b"), 1), Pile(next_noon, ("a", "b", "noon"), 1))
    assert (outlook.others, outlook.until) == (0, next_noon)


def test_a_set_that_meets_often_is_counted() -> None:
    """A pile-up tells its first time and how often the same schedules meet before the end."""
    outlook = pile_ups([every("a", 3600), every("b", 3600)], 1, NOW, NOW + DAY)
    assert outlook.piles == (Pile(NOW + timedelta(hours=1), ("a", "b"), 24),)


@pytest.mark.parametrize(("limit", "piles"), [(1, 1), (2, 0), (3, 0)])
def test_as_many_as_the_limit_are_no_pile(limit: int, piles: int) -> None:
    """Only what is more than may run at once is too much."""
    outlook = pile_ups([every("a", 86_400), every("b", 86_400)], limit, NOW, NOW + DAY)
    assert len(outlook.piles) == piles


def test_jitter_takes_a_schedule_out_of_the_pile() -> None:
    """A schedule that spreads its starts meets nobody at a certain second."""
    some = [every("a", 3600), every("b", 3600, jitter=timedelta(minutes=5))]
    assert pile_ups(some, 1, NOW, NOW + DAY).piles == ()


def test_the_largest_piles_are_kept_in_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more pile-ups than anybody would read, the largest are left, and the rest is counted."""
    monkeypatch.setattr(warnings, "MAX_PILES", 2)
    outlook = pile_ups([every(f"s{n}", n * 3600) for n in (1, 2, 3, 4, 6)], 1, NOW, NOW + DAY / 2)
    sizes = [len(pile.schedules) for pile in outlook.piles]
    assert sizes == [4, 5] and outlook.piles[0].first < outlook.piles[1].first
    assert outlook.others == 3


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ticks end the search early, and the answer says at which time."""
    monkeypatch.setattr(warnings, "MAX_QUESTIONS", 100)
    outlook = pile_ups([every("a", 1), every("b", 1), every("c", 2)], 1, NOW, NOW + DAY)
    assert NOW < outlook.until < NOW + timedelta(minutes=2)


def test_never_firing_names_the_place() -> None:
    """A one-shot in the past gets a warning at its place; a disabled or future one does not."""
    read = config(
        "  past: {at: 2026-11-21T12:00:00}\n"
        "  idle: {at: 2026-11-20T12:00:00, enabled: false}\n"
        "  soon: {at: 2026-11-21T12:00:01}\n"
        "  hand: {}\n"
    )
    (doubt,) = never_firing(read, NOW)
    assert (doubt.line, doubt.column, doubt.path) == (4, 14, "schedules.past.at")
    assert "2026-11-21T12:00:00Z" in doubt.message


def test_an_end_that_has_passed_is_to_blame() -> None:
    """A schedule whose end_time is over gets a warning at the key, or at the schedule for a default."""
    text = (
        "defaults: {end_time: 2026-11-20T00:00:00}\n"
        "schedules:\n"
        "  own: {spider: s, cron: '@daily', end_time: 2026-11-21T12:00:00}\n"
        "  common: {spider: s, interval: 1h}\n"
    )
    own, common = never_firing(parse(text, "f.yaml", {}, Path("/nowhere"), "test"), NOW)
    assert (own.line, own.column, own.path) == (3, 46, "schedules.own.end_time")
    assert own.message.startswith("never runs again: its end_time 2026-11-21T12:00:00.000000Z has passed; ")
    assert (common.line, common.path) == (4, "schedules.common.end_time")


def test_catching_up_in_vain_is_told_where_it_is_written() -> None:
    """Who catches up on all ticks under a policy that lets them meet is told; others are not."""
    read = config(
        "  a: {interval: 1h, catchup: all}\n"
        "  b: {interval: 1h, catchup: all, overlap: buffer_all}\n"
        "  c: {interval: 1h, catchup: latest}\n"
        "  d: {interval: 1h, catchup: all, enabled: false}\n"
        "  e: {after: a, catchup: all}\n"
        "  f: {at: 2027-11-21T12:00:00, catchup: all}\n"
        "  g: {catchup: all}\n"
    )
    (doubt,) = in_vain(read)
    assert (doubt.line, doubt.column, doubt.path) == (4, 30, "schedules.a.catchup")
    assert "overlap skip does not let all of them run" in doubt.message


def test_a_pile_up_is_told_at_the_limit() -> None:
    """The warning stands at the limit, and names the local time, how often, and the schedules."""
    read = config(
        "".join(f"  n{number:02}: {{interval: 12h}}\n" for number in range(12)),
        "{max_concurrent_runs: 3, timezone: Asia/Tokyo}",
    )
    (doubt,) = crowded(read, NOW)
    assert (doubt.line, doubt.column, doubt.path) == (1, 28, "hub.max_concurrent_runs")
    assert "12 schedules are due at 2026-11-22 09:00:00 JST (and 1 more time within a day)" in doubt.message
    assert doubt.message.endswith("n08, n09 and 2 more")
