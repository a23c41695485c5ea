"""Code of projects: what is in force, what has changed, and when a newer version is loaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail

from reactorhub.engine.projects import ProjectConfig
from reactorhub.hub.code import stale_note
from reactorhub.model.code import CodeReload, ProjectCode
from tests.support.deferreds import done
from tests.support.hubs import hub_log
from tests.support.loaders import MONDAY, Watched


def loaded(**reload: CodeReload) -> Watched:
    """A watch over these projects, which are loaded."""
    projects = {
        name: ProjectConfig(name=name, path=Path("/", name), reload=how) for name, how in reload.items()
    }
    watched = Watched(projects)
    for name in projects:
        watched.edit(name, a=1)
    done(watched.code.load(projects, lambda: watched.loader.load(projects)))
    return watched


def test_what_is_loaded_is_current() -> None:
    """At first nothing has changed, and nothing is loaded a second time."""
    watched = loaded(shop=CodeReload.MANUAL)
    assert watched.code.views() == [
        {
            "name": "shop",
            "loaded_at": "2026-11-23T09:00:00.000000Z",
            "changed_at": None,
            "error": None,
            "note": None,
        }
    ]
    assert done(watched.code.reload()) == watched.code.views()
    assert (watched.loader.reloads, watched.events, watched.code.note("other")) == ([], [], None)


def test_a_change_is_visible_until_it_is_loaded() -> None:
    """Status and runs say when the files were changed; a request loads what has changed, and says so."""
    watched = loaded(shop=CodeReload.MANUAL, other=CodeReload.MANUAL)
    watched.code.watch()
    watched.clock.advance(60)
    watched.edit("shop", a=2)
    watched.clock.advance(240)
    (shop, other) = watched.code.views()
    assert (shop["changed_at"], other["changed_at"]) == ("2026-11-23T09:01:00.000000Z", None)
    assert watched.code.note("shop") == shop["note"]
    assert (shop["note"] or "").startswith("code changed ")
    assert watched.loader.reloads == []
    (shop, _) = done(watched.code.reload())
    assert (shop["loaded_at"], shop["changed_at"]) == ("2026-11-23T09:05:00.000000Z", None)
    assert watched.loader.reloads == [["shop"]]
    assert watched.events == [("code.reloaded", {"code": {"projects": [shop]}})]
    watched.code.stop()
    assert not watched.clock.getDelayedCalls()


def test_a_removed_file_is_a_change() -> None:
    """The time is then that of the look that missed it, and stays so."""
    watched = loaded(shop=CodeReload.MANUAL)
    watched.edit("shop", b=1)
    done(watched.code.reload())
    watched.code.watch()
    watched.remove("shop", "b")
    watched.clock.pump([2, 2, 2])
    assert watched.code.views()[0]["changed_at"] == "2026-11-23T09:00:02.000000Z"
    watched.edit("shop", b=1)


def test_a_change_that_is_taken_back() -> None:
    """Files that are again as they were loaded are not changed."""
    watched = loaded(shop=CodeReload.AUTO)
    before = watched.files["shop"]
    watched.code.watch()
    watched.edit("shop", a=2)
    watched.clock.advance(2)
    assert watched.code.note("shop") is not None
    watched.files["shop"] = before
    watched.clock.pump([2, 2, 2])
    assert (watched.code.note("shop"), watched.loader.reloads) == (None, [])


def test_auto_loads_files_that_rest() -> None:
    """Of its own accord a project is loaded once its files have rested, once for each change."""
    watched = loaded(shop=CodeReload.AUTO, other=CodeReload.MANUAL)
    watched.code.watch()
    for size in range(2, 6):
        watched.edit("shop", a=size)
        watched.edit("other", a=size)
        watched.clock.advance(2)
        assert watched.loader.reloads == []
    watched.clock.pump([2] * 5)
    assert watched.loader.reloads == [["shop"]]
    assert [view["note"] is None for view in watched.code.views()] == [True, False]


def test_code_that_cannot_be_imported() -> None:
    """The version before stays in force. It is tried again on request or after a change."""
    watched = loaded(shop=CodeReload.AUTO)
    watched.code.watch()
    watched.loader.kept["shop"] = "module shop.spiders cannot be imported: SyntaxError: no"
    watched.edit("shop", a=2)
    with hub_log() as events:
        watched.clock.pump([2] * 10)
    assert watched.loader.reloads == [["shop"]]
    (shop,) = watched.code.views()
    assert (shop["error"], shop["loaded_at"]) == (watched.loader.kept["shop"], "2026-11-23T09:00:00.000000Z")
    assert shop["note"] is not None
    assert len([event for event in events if "stays in force" in str(event.get("log_format"))]) == 1
    assert done(watched.code.reload())[0]["error"] == shop["error"]
    watched.loader.kept.clear()
    watched.edit("shop", a=3)
    watched.clock.pump([2, 2])
    (shop,) = watched.code.views()
    assert (shop["error"], shop["note"], len(watched.loader.reloads)) == (None, None, 3)


def test_code_that_is_in_force_in_part() -> None:
    """What of a version in force cannot be imported shows from the start, and is tried again on request."""
    watched = loaded()
    watched.projects = {"shop": ProjectConfig(name="shop", path=Path("/shop"))}
    watched.loader.errors = {"shop": "module a cannot be imported: E"}
    done(watched.code.load(watched.projects, lambda: watched.loader.load(watched.projects)))
    assert watched.code.views()[0]["error"] == "module a cannot be imported: E"
    watched.loader.errors = {}
    assert done(watched.code.reload())[0]["error"] is None
    assert watched.loader.reloads == [["shop"]]


def test_a_project_that_was_taken_out_and_put_back() -> None:
    """It counts as loaded anew, whatever was changed meanwhile."""
    watched = loaded(shop=CodeReload.MANUAL)
    projects, watched.projects = watched.projects, {}
    done(watched.code.load({}, lambda: watched.loader.load({})))
    assert watched.code.views() == []
    watched.edit("shop", a=2)
    watched.clock.advance(60)
    watched.projects = projects
    done(watched.code.load(projects, lambda: watched.loader.load(projects)))
    (shop,) = watched.code.views()
    assert (shop["loaded_at"], shop["changed_at"]) == ("2026-11-23T09:01:00.000000Z", None)


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has it, and the next look comes."""
    watched = loaded(shop=CodeReload.AUTO)
    scan = watched.code._scan
    watched.code._scan = lambda projects: fail(OSError("no such device"))
    watched.code.watch()
    with hub_log() as events:
        watched.clock.advance(2)
    assert any("log_failure" in event for event in events)
    watched.code._scan = scan
    watched.edit("shop", a=2)
    watched.clock.pump([2, 2])
    assert watched.loader.reloads == [["shop"]]


def test_slow_looks_are_rare() -> None:
    """A look that takes a second is followed by one in 20 seconds, and none by one in more than 30."""
    watched = loaded(shop=CodeReload.AUTO)
    slow: list[Deferred[object]] = []

    def scan(projects: object) -> Deferred[object]:
        slow.append(Deferred())
        return slow[-1]

    watched.code._scan = scan  # type: ignore[assignment]
    watched.code.watch()
    watched.clock.pump([2, 1])
    slow.pop().callback({"shop": watched.files["shop"]})
    watched.clock.pump([1] * 19)
    assert slow == []
    watched.clock.advance(1)
    assert len(slow) == 1
    watched.clock.advance(60)
    slow.pop().callback({"shop": watched.files["shop"]})
    watched.clock.advance(30)
    assert len(slow) == 1
    watched.code.stop()
    slow.pop().callback({})
    assert not watched.clock.getDelayedCalls()


def test_the_note_has_days_where_they_differ() -> None:
    """What happened today has its time alone."""
    code = ProjectCode(name="shop", loaded_at=MONDAY, changed_at=MONDAY + timedelta(minutes=2))
    local = [moment.astimezone() for moment in (MONDAY + timedelta(minutes=2), MONDAY)]
    assert stale_note(code, MONDAY + timedelta(minutes=5)) == (
        f"code changed {local[0]:%H:%M}, loaded {local[1]:%H:%M}"
    )
    assert stale_note(code, MONDAY + timedelta(days=3)) == (
        f"code changed {local[0]:%Y-%m-%d %H:%M}, loaded {local[1]:%Y-%m-%d %H:%M}"
    )
