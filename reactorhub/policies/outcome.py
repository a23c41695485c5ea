"""The rule that decides how a run ended, from the facts of its crawl and never from log counts alone."""

from __future__ import annotations

from reactorhub.model.run import CrawlEnd, Outcome, RunState, Stop

OWN_LIMIT = "closespider_"  # the finish reasons of Scrapy's CloseSpider extension: limits the project set


def outcome_of(end: CrawlEnd, stop: Stop | None) -> Outcome:
    """Return the outcome of a crawl.

    :param end: the facts about the crawl's end.
    :param stop: the hub's order to stop, if there was one. It wins over the way in which the crawl ended.
    """
    if stop is not None:
        return Outcome(state=stop.state, reason=stop.reason, error=end.failure or end.error)
    complaint = _complaint(end)
    if complaint is None:
        return Outcome(state=RunState.SUCCEEDED, reason=_praise(end), error=end.error)
    return Outcome(state=RunState.FAILED, reason=complaint, error=end.failure or end.error)


def _complaint(end: CrawlEnd) -> str | None:
    return _bad_end(end) if end.lost is None else f"the crawl's process is lost: {end.lost}"


def _bad_end(end: CrawlEnd) -> str | None:
    if end.failure is not None:
        return f"the crawl raised an exception: {end.failure}"
    if end.finish_reason == "start_error":
        return f"start() raised an exception: {end.error}"
    if end.finish_reason is None:
        return "the crawl ended without a finish reason"
    if end.finish_reason != "finished" and not end.finish_reason.startswith(OWN_LIMIT):
        return f"the crawl ended with finish_reason {end.finish_reason!r}"
    if end.exceptions and not end.items:
        return f"{_exceptions(end.exceptions)} and no item; the last exception: {end.error}"
    return None


def _praise(end: CrawlEnd) -> str:
    if end.finish_reason != "finished":
        return f"the crawl reached a limit that its project set: {end.finish_reason}"
    if end.errors:
        return f"the crawl finished with {end.items} items and {end.errors} errors"
    return "the crawl finished"


def _exceptions(count: int) -> str:
    return "1 exception" if count == 1 else f"{count} exceptions"
