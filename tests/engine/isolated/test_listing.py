"""A process that lists spiders is heard to its end, whatever its zygote says first."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from reactorhub.engine.isolated.listing import Listing
from reactorhub.engine.projects import ProjectConfig

REPORT = {
    "spiders": [{"name": "books", "module": "shop.spiders", "docstring": "", "arguments": []}],
    "broken": [],
    "duplicates": {},
}


@pytest.fixture
def clock() -> Clock:
    """The clock of the listing."""
    return Clock()


@pytest.fixture
def listing(clock: Clock) -> Listing:
    """A listing whose process has been forked."""
    return Listing(clock, ProjectConfig(name="shop", path=Path("shop")))


def errors(listing: Listing) -> list[str]:
    """What the hub says of the project."""
    return [each.error for each in listing.catalog.broken]


def test_a_report_that_comes_after_the_exit_counts(listing: Listing, clock: Clock) -> None:
    """The zygote may be heard before the last words of the process itself."""
    listing.exited(0)
    assert not listing.done.called
    listing.reported(REPORT)
    listing.hung_up()
    assert [each.name for each in listing.catalog.spiders] == ["books"]
    assert errors(listing) == []
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("first", ["exited", "hung_up"])
def test_a_process_that_dies_without_a_report(listing: Listing, clock: Clock, first: str) -> None:
    """It is known as soon as its connection has ended, too, in either order."""
    for event in (first, "hung_up" if first == "exited" else "exited"):
        assert not listing.done.called
        listing.exited(3) if event == "exited" else listing.hung_up()
    assert errors(listing) == ["it ended with exit status 3 while the project was imported"]
    assert clock.getDelayedCalls() == []


def test_a_connection_that_others_hold_is_not_waited_for(listing: Listing, clock: Clock) -> None:
    """A child of a dead process may have its connection: some seconds later there is no report to come."""
    listing.exited(-11)
    clock.advance(5)
    assert errors(listing) == ["killed by SIGSEGV while the project was imported"]


def test_an_import_that_does_not_end(listing: Listing, clock: Clock) -> None:
    """A minute is what a project may take."""
    clock.advance(60)
    assert errors(listing) == ["importing it took longer than 60 seconds"]
