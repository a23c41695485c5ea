"""How a run ended: the rule of the contract as a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import CrawlEnd, RunState, Stop
from reactorhub.policies.outcome import outcome_of

SUCCEEDED, FAILED = RunState.SUCCEEDED, RunState.FAILED
REFUSED = {"finish_reason": "finished", "pages": 0}
BAD = {"errors": 2, "exceptions": 2, "error": "ValueError: no price"}


@pytest.mark.parametrize(
    ("facts", "state", "says"),
    [
        ({"finish_reason": "finished"}, SUCCEEDED, "the crawl finished"),
        ({"finish_reason": "finished", "items": 9}, SUCCEEDED, "the crawl finished"),
        ({"finish_reason": "finished", "items": 9, **BAD}, SUCCEEDED, "9 items and 2 errors"),
        ({"finish_reason": "finished", "errors": 3}, SUCCEEDED, "0 items and 3 errors"),
        ({"finish_reason": "closespider_itemcount", "items": 9}, SUCCEEDED, "a limit that its project set"),
        ({"finish_reason": "closespider_timeout"}, SUCCEEDED, "closespider_timeout"),
        ({"failure": "ValueError: bad category"}, FAILED, "raised an exception: ValueError: bad category"),
        ({"failure": "E: x", "finish_reason": "finished", "items": 9}, FAILED, "raised an exception: E: x"),
        (
            {"finish_reason": "start_error", **BAD},
            FAILED,
            "start() raised an exception: ValueError: no price",
        ),
        ({"finish_reason": "start_error", "items": 9, **BAD}, FAILED, "start() raised"),
        ({"finish_reason": None}, FAILED, "without a finish reason"),
        ({"finish_reason": "cancelled", "items": 9}, FAILED, "finish_reason 'cancelled'"),
        ({"finish_reason": "shutdown"}, FAILED, "finish_reason 'shutdown'"),
        ({"finish_reason": "my_own_reason", "items": 9}, FAILED, "finish_reason 'my_own_reason'"),
        (
            {"finish_reason": "finished", **BAD},
            FAILED,
            "2 exceptions and no item; the last exception: ValueError",
        ),
        (
            {"finish_reason": "finished", "exceptions": 1, "error": "E"},
            FAILED,
            "1 exception and no item",
        ),
        ({"finish_reason": "closespider_errorcount", **BAD}, FAILED, "2 exceptions and no item"),
        ({**REFUSED, "refused": {"403": 12}}, FAILED, "every page was refused: 403 × 12"),
        (
            {**REFUSED, "refused": {"404": 2, "robots.txt": 3, "403": 2}},
            FAILED,
            "every page was refused: robots.txt × 3, 403 × 2, 404 × 2",
        ),
        (
            {**REFUSED, "raised": {"ValueError: no price": 12}, **BAD},
            FAILED,
            "every page raised an exception before the spider saw it: ValueError: no price × 12",
        ),
        (
            {**REFUSED, "refused": {"403": 1}, "raised": {"KeyError: 'a'": 2}},
            FAILED,
            "was refused: 403 × 1, or raised an exception before the spider saw it: KeyError: 'a' × 2",
        ),
        ({**REFUSED, "pages": 1, "raised": {"KeyError: 'a'": 2}}, SUCCEEDED, "the crawl finished"),
        ({**REFUSED, "refused": {str(n): 1 for n in range(500, 512)}}, FAILED, ", others × 4"),
        ({**REFUSED, "refused": {"DNSLookupError": 2}, **BAD}, FAILED, "refused: DNSLookupError × 2"),
        ({**REFUSED, "finish_reason": "closespider_timeout", "refused": {"403": 1}}, FAILED, "403 × 1"),
        ({**REFUSED, "items": 1, "refused": {"403": 12}}, SUCCEEDED, "the crawl finished"),
        ({**REFUSED, "pages": 1, "refused": {"403": 12}}, SUCCEEDED, "the crawl finished"),
        ({**REFUSED, "pages": None, "refused": {"403": 12}}, SUCCEEDED, "the crawl finished"),
        (REFUSED, SUCCEEDED, "the crawl finished"),
        ({**REFUSED, "asked": False}, SUCCEEDED, "the crawl finished without one request"),
        ({**REFUSED, "asked": False, "items": 2}, SUCCEEDED, "finished without one request"),
        (
            {**REFUSED, "asked": False, "no_request_why": "Scrapy never calls it"},
            FAILED,
            "the crawl ended without one request: Scrapy never calls it",
        ),
        ({**REFUSED, "asked": False, "no_request_why": "x", "items": 1}, SUCCEEDED, "without one request"),
        (
            {"finish_reason": "finished", "items": 12, "unstored": 12, "unstored_why": "OSError: full"},
            FAILED,
            "12 items could not be stored: OSError: full",
        ),
        (
            {"finish_reason": "finished", "items": 12, "unstored": 3, "error": "TypeError: x"},
            FAILED,
            "3 of 12 items could not be stored: TypeError: x",
        ),
        ({"finish_reason": "finished", "items": 1, "unstored": 1}, FAILED, "1 item could not be stored"),
    ],
)
def test_the_rule(facts: dict[str, Any], state: RunState, says: str) -> None:
    """Each way to end has its state, and a reason that says which rule decided."""
    outcome = outcome_of(CrawlEnd(**facts), None)
    assert outcome.state is state
    assert says in outcome.reason


@pytest.mark.parametrize("reason", ["caught_up", "shutdown", "cancelled"])
def test_an_expected_reason_is_good(reason: str) -> None:
    """A finish reason of the spider's own is good once the schedule names it, even if it won nothing."""
    end = CrawlEnd(finish_reason=reason, pages=0, refused={"404": 1})
    assert outcome_of(end, None, frozenset()).state is FAILED
    outcome = outcome_of(end, None, frozenset({reason, "finished"}))
    assert (outcome.state, outcome.reason) == (
        SUCCEEDED,
        f"the crawl ended with finish_reason {reason!r}, which is expected",
    )


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"failure": "E: x", "finish_reason": "caught_up"}, "raised an exception"),
        ({"finish_reason": "start_error"}, "start() raised"),
        ({"finish_reason": "caught_up", **BAD}, "2 exceptions and no item"),
        ({"finish_reason": "caught_up", "items": 2, "unstored": 2}, "2 items could not be stored"),
        ({"finish_reason": "finished", "pages": 0, "refused": {"403": 1}}, "every page was refused"),
    ],
)
def test_an_expected_reason_excuses_nothing_else(facts: dict[str, Any], says: str) -> None:
    """Exceptions, refusals and lost items count whatever finish reasons are expected."""
    outcome = outcome_of(CrawlEnd(**facts), None, frozenset({"caught_up", "finished", "start_error"}))
    assert outcome.state is FAILED
    assert says in outcome.reason


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"failure": "E: outer", "error": "E: inner"}, "E: outer"),
        ({"finish_reason": "finished", **BAD}, "ValueError: no price"),
        ({"finish_reason": "finished", "items": 1, **BAD}, "ValueError: no price"),
        ({"finish_reason": "finished"}, None),
    ],
)
def test_the_exception_is_told(facts: dict[str, Any], error: str | None) -> None:
    """An outcome holds the last line of the exception that mattered, if there was one."""
    assert outcome_of(CrawlEnd(**facts), None).error == error


ends = st.builds(
    CrawlEnd,
    failure=st.none() | st.just("E: x"),
    finish_reason=st.sampled_from([None, "finished", "shutdown", "closespider_timeout", "start_error"]),
    items=st.integers(0, 5),
    exceptions=st.integers(0, 5),
)


@given(ends, st.sampled_from([RunState.CANCELLED, RunState.TIMED_OUT, RunState.INTERRUPTED]))
def test_what_the_hub_ordered_wins(end: CrawlEnd, state: RunState) -> None:
    """A crawl that was told to stop ends as it was told, however it took it."""
    outcome = outcome_of(end, Stop(state=state, reason="because"))
    assert (outcome.state, outcome.reason) == (state, "because")


@given(ends)
def test_a_crawl_that_nobody_stopped_either_succeeds_or_fails(end: CrawlEnd) -> None:
    """Without an order to stop there are two outcomes, and an exception of the crawl is never a success."""
    outcome = outcome_of(end, None)
    assert outcome.state in (SUCCEEDED, FAILED) and outcome.reason
    assert end.failure is None or outcome.state is FAILED
