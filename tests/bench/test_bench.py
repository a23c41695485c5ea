"""The pure parts of the bench: what is read from /proc, what is computed of it, and how it is shown."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Contest, Report, Round, Target, isolation_targets, percentile, ratio, targets
from bench.measure import fsync_seconds
from bench.orders import Order, parse_order
from bench.procfs import PeakMemory, Stat, cpu_seconds, family, machine, parse_pss, parse_stat
from bench.table import as_json, figure, markdown, rows

STAT = (
    "4242 (tw) istd (x) S 17 4242 17 0 -1 4194560 9000 70 0 1 250 50 31 9 20 0 5 0 987654 180000000 21000 "
    "18446744073709551615 1 1 0 0 0 0 0 16781312 17642 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


def a_round(cpu_ms: float, runs: int = 10, wall: float = 2.0, peak: int = 100_000_000) -> Round:
    """Return a round with this CPU time per run."""
    return Round(runs=runs, wall=wall, cpu=cpu_ms * runs / 1000, peak=peak)


def a_contest(name: str, cpu_ms: Sequence[float], peak: int = 100_000_000, delay: float = 0.01) -> Contest:
    """Return a contest with one round for each CPU time."""
    return Contest(name=name, rounds=[a_round(each, peak=peak) for each in cpu_ms], delays=[delay] * 200)


def a_report(
    hub_ms: float = 16.0, bare_ms: float = 16.0, peak: int = 100_000_000, delay: float = 0.01
) -> Report:
    """Return a report in which the hub has these figures, and all else is as it was measured before."""
    return Report(
        date="2026-11-21",
        machine={"cpu": "A CPU", "cores": "2", "kernel": "6.1"},
        versions={"Python": "3.11.7", "Scrapy": "2.19.0"},
        at_once=16,
        short={
            "bare": a_contest("script", [bare_ms]),
            "hub": a_contest("hub", [hub_ms], peak, delay),
            "scrapyd": a_contest("scrapyd", [1200.0], 1_412_000_000, 1.3),
        },
        long={"bare": a_contest("script", [1500.0]), "hub": a_contest("hub", [1200.0])},
        fsyncs=[0.0006] * 99 + [0.0273] * 2,
    )


def test_stat_survives_a_name_with_blanks_and_parentheses() -> None:
    """The fields are counted from the last parenthesis, and CPU time includes children waited for."""
    assert parse_stat(STAT) == Stat(pid=4242, parent=17, ticks=250 + 50 + 31 + 9, born=987654)


@pytest.mark.parametrize("text", ["", "12 (cat) S 1", "12 cat S 1 2 3"])
def test_stat_refuses_what_is_no_stat(text: str) -> None:
    """A line that is cut off is refused, not read as zeros."""
    with pytest.raises(ValueError, match="no line of"):
        parse_stat(text)


def test_pss_is_read_in_bytes_and_not_from_its_parts() -> None:
    """Pss counts; Pss_Dirty and Pss_Anon, which are parts of it, do not."""
    text = "5600-7fff ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:  589 kB\nPss_Dirty:  112 kB\n"
    assert parse_pss(text) == 589 * 1024


def test_pss_that_is_missing_is_no_zero() -> None:
    """A text without the figure is refused."""
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("Rss: 12 kB\nPss_Dirty: 1 kB\n")


def test_a_family_is_the_root_and_all_its_descendants_in_any_order() -> None:
    """Grandchildren belong to it, strangers and the parent do not."""
    everyone = [Stat(pid, parent, 1, 0) for pid, parent in ((5, 3), (3, 2), (2, 1), (9, 1), (4, 2), (1, 0))]
    assert {stat.pid for stat in family(2, everyone)} == {2, 3, 4, 5}


def test_the_family_of_a_process_that_has_ended_is_empty() -> None:
    """What is no longer there costs nothing more."""
    assert family(7, [Stat(1, 0, 1, 0)]) == []


def test_the_cpu_time_of_this_very_process_grows_with_what_it_does() -> None:
    """What is read from outside is at least what the process itself measures, up to a few clock ticks."""
    before, own = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - own < 0.1:
        sum(range(1000))
    assert cpu_seconds(os.getpid()) - before > 0.05


def test_peak_memory_has_at_least_one_sample() -> None:
    """Even a load that is over at once has a peak, of a believable size."""
    with PeakMemory(os.getpid(), 60) as memory:
        pass
    assert 1_000_000 < memory.peak < 10_000_000_000


def test_a_machine_is_named_by_its_cpu() -> None:
    """The first model name counts, and the version of the kernel alone; what is missing is unknown."""
    cpuinfo = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: A CPU @ 2 GHz\n"
    assert machine(cpuinfo, 2, "6.1") == {"cpu": "A CPU @ 2 GHz", "cores": "2", "kernel": "6.1"}
    assert machine("", 1, "6.1")["cpu"] == "unknown CPU"
    assert machine("", 1, "6.18.44-fc-v669")["kernel"] == "6.18.44"
    assert machine("", 1, "5.15.0-91-generic+")["kernel"] == "5.15.0"
    assert machine("", 1, "next")["kernel"] == "unknown"


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0], 99, 2.0),
        ([4.0, 2.0], 0, 2.0),
    ],
)
def test_percentile_takes_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    """A percentile is always one of the values, and of few values p99 is the worst."""
    assert percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_percentile_bounds_its_share_of_the_values(values: list[float], percent: float) -> None:
    """At least so many percent of the values are no larger, and it is one of them."""
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values) - 1e-6


def test_percentile_of_nothing_is_refused() -> None:
    """Without values there is no figure to show."""
    with pytest.raises(ValueError, match="measure something"):
        percentile([], 50)


def test_a_contest_shows_medians_and_the_worst_memory() -> None:
    """One disturbed round moves neither rate nor CPU time, but memory is a peak."""
    rounds = [a_round(14.0), a_round(90.0, wall=20.0, peak=120_000_000), a_round(15.0)]
    contest = Contest(name="hub", rounds=rounds, delays=[0.01] * 98 + [0.05, 0.08])
    assert contest.cpu_ms == pytest.approx(15.0)
    assert contest.runs_per_minute == pytest.approx(300.0)
    assert contest.peak_mb == 120
    assert (contest.delay_ms(50), contest.delay_ms(99)) == pytest.approx((10.0, 50.0))


def test_a_ratio_compares_round_with_round() -> None:
    """Where both took turns, a round that was slow for both does not count against either."""
    hub, bare = a_contest("hub", [11.0, 33.0, 22.0]), a_contest("bare", [10.0, 30.0, 20.0])
    assert ratio(hub, bare) == pytest.approx(1.1)


def test_a_ratio_of_unequal_rounds_compares_medians() -> None:
    """Rounds that cannot be paired are not."""
    assert ratio(a_contest("scrapyd", [1000.0, 1200.0]), a_contest("hub", [10.0, 11.0, 12.0])) == 100


def test_all_targets_are_judged() -> None:
    """A hub that is good enough everywhere reaches all five."""
    judged = targets(a_report())
    assert [target.reached for target in judged] == [True] * 5


def test_isolated_runs_are_judged_beside_scrapyd() -> None:
    """A process of its own has targets of its own, where both were measured."""
    short = {"scrapyd": a_contest("scrapyd", [900.0])}
    assert isolation_targets(short) == []
    slow = [Round(runs=10, wall=20.0, cpu=9.0, peak=1)]
    short["scrapyd"] = Contest(name="scrapyd", rounds=slow)
    short["isolated"] = a_contest("isolated", [44.0, 46.0, 45.0], delay=0.2)
    assert [target.reached for target in isolation_targets(short)] == [True] * 4
    short["isolated"] = a_contest("isolated", [61.0], delay=0.3)
    assert [target.reached for target in isolation_targets(short)] == [False, False, True, False]


@pytest.mark.parametrize(
    ("report", "missed"),
    [
        (a_report(hub_ms=19.3), [0]),
        (a_report(hub_ms=24.1, bare_ms=24.1), [1]),
        (a_report(peak=177_000_000), [2]),
        (a_report(delay=0.101), [3]),
    ],
)
def test_a_target_that_is_missed_is_named(report: Report, missed: list[int]) -> None:
    """Each figure has its own limit, on the right side."""
    assert [number for number, target in enumerate(targets(report)) if not target.reached] == missed


@pytest.mark.parametrize(
    ("value", "at_most", "reached"), [(1.2, True, True), (1.2, False, True), (1.21, True, False)]
)
def test_a_limit_itself_is_good_enough(value: float, at_most: bool, reached: bool) -> None:
    """Limits are inclusive on either side."""
    assert Target(text="", value=value, limit=1.2, at_most=at_most).reached is reached


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0834, "0.083"), (1.1, "1.10"), (14.55, "14.6"), (100, "100"), (1312.4, "1,312"), (0.0, "0.000")],
)
def test_a_figure_has_the_digits_it_deserves(value: float, text: str) -> None:
    """Small figures keep their digits, large ones are grouped."""
    assert figure(value) == text


def test_rows_make_a_markdown_table() -> None:
    """The first column reads from the left, the others align on the right."""
    assert rows(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_report_shows_every_contender_machine_and_target() -> None:
    """The whole table has a row for each way, says where it was made, and says pass or FAIL."""
    text = markdown(a_report(hub_ms=30.0))
    assert "| scrapyd | 1 x 10 | 300 | 1,200 | 1,412 | 1,300 / 1,300 | 200 |" in text
    assert "| hub | 1 | 1,200 | 0.80 x |" in text
    assert "A CPU, 2 cores, Linux 6.1; Python 3.11.7, Scrapy 2.19.0; 2026-11-21." in text
    assert "| CPU per run, hub against the bare script | 1.88 x | ≤ 1.2 x | FAIL |" in text
    assert text.count("pass") == 3
    assert "an fsync took 0.60 ms (p50) and 27.3 ms (p99)" in text


def test_the_report_is_json_with_every_round() -> None:
    """What is written for programs holds the rounds themselves and the verdicts."""
    value = json.loads(json.dumps(as_json(a_report())))
    assert value["short"]["hub"]["rounds"] == [
        {"runs": 10, "wall": 2.0, "cpu": pytest.approx(0.16), "peak": 100_000_000}
    ]
    assert [target["reached"] for target in value["targets"]] == [True] * 5


def test_an_fsync_takes_some_time_and_leaves_the_data(tmp_path: Path) -> None:
    """The disk is really written to."""
    assert fsync_seconds(tmp_path / "probe") > 0
    assert (tmp_path / "probe").stat().st_size == 4096


def test_an_order_is_read_as_it_was_written() -> None:
    """The scripts crawl exactly the numbers that were ordered."""
    order = Order("one", "http://127.0.0.1:8000", 33, 3)
    assert parse_order(order.line()) == order
    assert list(order.numbers()) == [33, 34, 35]
