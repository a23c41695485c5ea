"""What the code of runs and projects finds in its context."""

from __future__ import annotations

import decimal
from contextvars import ContextVar
from decimal import Decimal

from reactorhub.containment.contexts import ProjectContext, RunContext, here
from reactorhub.containment.memory_log import MemoryRunLog

SHOP: ContextVar[str] = ContextVar("shop", default="none")


def _third() -> str:
    return str(Decimal(1) / 3)


def _import() -> None:
    SHOP.set("books")
    decimal.getcontext().prec = 4


def _project() -> ProjectContext:
    project = ProjectContext("lab")
    project.import_with(_import)
    return project


def test_what_an_import_sets_holds_for_the_project_s_runs() -> None:
    """Context variables and the precision of decimals are as the project's modules have set them."""
    project = _project()
    run = RunContext("1", MemoryRunLog(), project)
    other = RunContext("2", MemoryRunLog(), ProjectContext("other"))
    assert [each.enter(SHOP.get) for each in (project, run, other)] == ["books", "books", "none"]
    assert [each.enter(_third) for each in (project, run, other)] == ["0.3333", "0.3333", _third()]


def test_what_a_run_sets_holds_for_itself() -> None:
    """A later run finds what the import has set, not what an earlier run has."""
    project = _project()

    def change() -> str:
        SHOP.set("sweets")
        decimal.getcontext().prec = 2
        return SHOP.get() + _third()

    first, second = (RunContext(str(number), MemoryRunLog(), project) for number in (1, 2))
    assert first.enter(change) == "sweets0.33"
    assert second.enter(lambda: SHOP.get() + _third()) == "books0.3333"
    assert (SHOP.get(), _third()) == ("none", "0." + "3" * 28)


def test_code_of_a_run_that_is_over_belongs_to_nobody() -> None:
    """Not to its project either: what it says stands in the hub's log."""
    run = RunContext("1", MemoryRunLog(), _project())
    context = run.context
    assert context.run(here) is run
    run.over = True
    assert context.run(here) is None
