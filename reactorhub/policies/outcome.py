"""The rule that decides how a run ended, from the facts of its crawl and never from log counts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from reactorhub.model.run import CrawlEnd, Outcome, RunState, Stop

OWN_LIMIT = "closespider_"  # the finish reasons of Scrapy's CloseSpider extension: limits the project set
_FINISHED = "finished"
_MAX_KINDS = 8  # kinds of refusals that a reason lists


def outcome_of(end: CrawlEnd, stop: Stop | None, expected: Set[str] = frozenset()) -> Outcome:
    """Return the outcome of a crawl.

    :param end: the facts about the crawl's end.
    :param stop: the hub's order to stop, if there was one. It wins over the way in which the crawl ended.
    :param expected: the finish reasons that the run's spec names as good.
    """
    if stop is not None:
        return Outcome(state=stop.state, reason=stop.reason, error=end.failure or end.error)
    complaint = _complaint(end, expected)
    if complaint is None:
        return Outcome(state=RunState.SUCCEEDED, reason=_praise(end), error=end.error)
    return Outcome(state=RunState.FAILED, reason=complaint, error=end.failure or end.error)


def _complaint(end: CrawlEnd, expected: Set[str]) -> str | None:
    if end.lost is not None:
        return f"the crawl's process is lost: {end.lost}"
    return _bad_end(end, expected) or next(_nothing_won(end), None) or _unstored(end)


def _bad_end(end: CrawlEnd, expected: Set[str]) -> str | None:
    if end.failure is not None:
        return f"the crawl raised an exception: {end.failure}"
    if end.finish_reason == "start_error":
        return f"start() raised an exception: {end.error}"
    if end.finish_reason is None:
        return "the crawl ended without a finish reason"
    if not _usual(end.finish_reason) and end.finish_reason not in expected:
        return f"the crawl ended with finish_reason {end.finish_reason!r}"
    return None


def _usual(finish_reason: str) -> bool:
    return finish_reason == _FINISHED or finish_reason.startswith(OWN_LIMIT)


def _nothing_won(end: CrawlEnd) -> Iterator[str]:
    """Yield why a crawl without an item has failed. A reason of its own that is expected excuses refusals."""
    if end.items:
        return
    if end.pages == 0 and _usual(end.finish_reason or ""):
        yield from _no_page(end)
    if not end.asked and end.no_request_why is not None:
        yield f"the crawl ended without one request: {end.no_request_why}"
    if end.exceptions:
        yield f"{_exceptions(end.exceptions)} and no item; the last exception: {end.error}"


def _no_page(end: CrawlEnd) -> Iterator[str]:
    """Yield what became of the pages, if there were any and none was passed to the spider."""
    refused = f"was refused: {_listed(end.refused)}" if end.refused else ""
    raised = f"raised an exception before the spider saw it: {_listed(end.raised)}" if end.raised else ""
    if refused or raised:
        yield f"every page {refused}{', or ' if refused and raised else ''}{raised}"


def _unstored(end: CrawlEnd) -> str | None:
    if not end.unstored:
        return None
    share = f"{end.unstored} of " if end.unstored < end.items else ""
    items = "1 item" if end.items == 1 else f"{max(end.items, end.unstored)} items"
    return f"{share}{items} could not be stored: {end.unstored_why or end.error or 'see the log of the run'}"


def _listed(refused: Mapping[str, int]) -> str:
    """Return the refusals with their numbers, the most frequent first."""
    kinds = sorted(refused.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in kinds[_MAX_KINDS:])
    told = [f"{kind} × {count}" for kind, count in kinds[:_MAX_KINDS]]
    return ", ".join([*told, *([f"others × {rest}"] if rest else [])])


def _praise(end: CrawlEnd) -> str:
    said = _how_it_ended(end)
    return said if end.asked else f"{said} without one request"


def _how_it_ended(end: CrawlEnd) -> str:
    reason = end.finish_reason or ""
    if reason.startswith(OWN_LIMIT):
        return f"the crawl reached a limit that its project set: {reason}"
    if reason != _FINISHED:
        return f"the crawl ended with finish_reason {reason!r}, which is expected"
    if end.errors:
        return f"the crawl finished with {end.items} items and {end.errors} errors"
    return "the crawl finished"


def _exceptions(count: int) -> str:
    return "1 exception" if count == 1 else f"{count} exceptions"
