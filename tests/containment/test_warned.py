"""Each run is warned once, whatever others have been warned of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from reactorhub.containment import warned
from reactorhub.containment.contexts import ProjectContext, RunContext
from reactorhub.containment.logging_globals import install_logging_globals
from reactorhub.containment.memory_log import MemoryRunLog


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts of warnings that are shown while owners are warned once each."""
    texts: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: texts.append(str(message)))
    monkeypatch.setattr(warnings, "filters", [])
    monkeypatch.setattr(warned, "_seen_by_nobody", set())
    undo = [install_logging_globals(), warned.show_once_to_each()]
    yield texts
    for each in reversed(undo):
        each()


@pytest.fixture
def run() -> RunContext:
    """A run of a project."""
    return RunContext("1", MemoryRunLog(), ProjectContext("lab"))


def warn(text: str = "old ways") -> None:
    """Warn, always from the same line."""
    warnings.warn(text, stacklevel=1)


def test_each_run_is_warned_once(shown: list[str], run: RunContext) -> None:
    """A run sees what an earlier run has been warned of, and sees it once."""
    other = RunContext("2", MemoryRunLog(), run.parent)  # type: ignore[arg-type]
    for each in (run, run, other, other, run):
        each.enter(warn)
    warn()
    warn()
    assert shown == ["old ways"] * 3


def test_other_texts_are_other_warnings(shown: list[str], run: RunContext) -> None:
    """As in Python, what is shown once is a text of a class from a line."""
    for text in ("one", "two", "one"):
        run.enter(warn, text)
    assert shown == ["one", "two"]


def test_a_filter_of_a_run_shows_once_to_the_run(shown: list[str], run: RunContext) -> None:
    """``simplefilter("default")`` means that, too."""
    run.enter(warnings.simplefilter, "default")
    other = RunContext("2", MemoryRunLog(), run.parent)  # type: ignore[arg-type]
    other.enter(warnings.simplefilter, "default")
    for each in (run, run, other):
        each.enter(warn)
    assert shown == ["old ways"] * 2


def test_recorded_warnings_are_all_recorded(shown: list[str], run: RunContext) -> None:
    """``catch_warnings(record=True)`` gets what the run has seen before."""

    def record() -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warn()
        return [str(each.message) for each in caught]

    run.enter(warn)
    assert run.enter(record) == ["old ways"]
    assert shown == ["old ways"]


class Unruly(UserWarning):
    """A warning whose text can be had once: Python itself asks first."""

    asked = False

    def __str__(self) -> str:
        if self.asked:
            raise SystemExit(1)
        self.asked = True
        return "unruly"


def test_a_warning_without_text_is_shown(monkeypatch: pytest.MonkeyPatch, shown: list[str]) -> None:
    """What cannot be remembered is shown each time, and harms nobody."""
    count: list[object] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: count.append(message))
    for _ in range(2):
        warnings.warn_explicit(Unruly(), Unruly, "here.py", 1)
    assert len(count) == 2


def test_what_is_remembered_is_bounded(
    monkeypatch: pytest.MonkeyPatch, shown: list[str], run: RunContext
) -> None:
    """A run that warns with ever new texts does not fill the memory."""
    monkeypatch.setattr(warned, "MAX_SEEN", 2)
    for number in range(5):
        run.enter(warn, str(number))
    assert len(run.warned) <= 2
    assert len(shown) == 5


def test_all_is_put_back() -> None:
    """Undone, Python keeps again what it has shown."""
    before = (warnings.defaultaction, warnings._showwarnmsg, list(warnings.filters))  # type: ignore[attr-defined]
    undo = warned.show_once_to_each()
    assert all(item[0] != "default" for item in warnings.filters)
    undo()
    assert (warnings.defaultaction, warnings._showwarnmsg, list(warnings.filters)) == before  # type: ignore[attr-defined]
