"""Ordinary projects run as under ``scrapy crawl``; a page says where the shared process differs."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.habits.catalogue import HABITS, ON_THE_PAGE
from tests.integration.habits.habit import SAME, Habit, Order, write_hub
from tests.integration.hubs import CHECKOUT, Hub

PAGE = CHECKOUT / "docs" / "shared-process.md"
LATEST_END = 6.0  # seconds after SIGTERM: the grace of 1 s, and 5 s for what resists


def _started(folder: Path, isolate: str) -> Iterator[Hub]:
    hub = Hub(folder, write_hub(folder, HABITS, isolate))
    with hub:
        yield hub
        assert hub.terminate(within=LATEST_END) == -signal.SIGTERM


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that runs all projects in its own process. It ends when told to, whatever they did."""
    yield from _started(tmp_path_factory.mktemp("shared"), "none")


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that gives each run a process of its own."""
    yield from _started(tmp_path_factory.mktemp("isolated"), "process")


def _run(hub: Hub, habit: Habit, order: Order) -> dict[str, Any]:
    args = {key: hub.shop if value == "SHOP" else value for key, value in order.args.items()}
    return hub.wait_final(replace(order, args=args).submit(hub, habit.project))


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.project)
def test_in_the_shared_process(shared: Hub, habit: Habit) -> None:
    """A project's runs bring home what they should, or what the page says."""
    for order in habit.orders:
        (order.shared or order.outcome).check(shared, _run(shared, habit, order))
    broken = Order.broken(shared, habit.project) if habit.broken else ""
    assert all(name in broken for name in habit.broken)
    if check := habit.check_shared or habit.check:
        check(shared, shared.folder / habit.project)


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.project)
def test_isolated(isolated: Hub, habit: Habit) -> None:
    """A project's runs bring home what they should, each in a process of its own."""
    for order in habit.orders:
        run = _run(isolated, habit, order)
        assert run["isolated"]
        order.outcome.check(isolated, run)
    if habit.check:
        habit.check(isolated, isolated.folder / habit.project)


def test_the_table_of_the_page() -> None:
    """The page lists these habits in this order, with what comes of each in the shared process."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    assert rows == [
        (habit.does, "the same" if habit.shared == SAME else habit.shared) for habit in ON_THE_PAGE
    ]
