"""Reloading: when the file is read again, what becomes of mistakes, and that reloads do not mix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, execute, fail, succeed
from twisted.logger import LogEvent, formatEvent

from reactorhub.config import HubConfig
from reactorhub.config.reading import file_signature
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import ConfigError, LedgerError, Mistake
from reactorhub.hub.reload import Reload, Reloader
from reactorhub.model.values import View
from reactorhub.notifications.channels.channel import Channel
from reactorhub.notifications.channels.memory import MemoryChannel
from reactorhub.schedules.scheduler import Scheduler
from reactorhub.storage.retention import Retention
from tests.integration.hubs import until
from tests.support.deferreds import done
from tests.support.hubs import SCHEDULES, HubHarness, config, hub_log
from tests.support.loaders import LoadedProjects, Watched

GONE = ConfigError([Mistake("schedule.yaml", 1, 1, "", "there is no such file")])
NEW = SCHEDULES + "  fresh: {spider: prices, interval: 5m}\n"


class Desk:
    """A hub, its schedule file as a test edits it, and the reloader that watches it."""

    def __init__(self) -> None:
        self.harness = HubHarness()
        done(self.harness.hub.recover())
        self.signature: Any = 1
        self.text: str | Exception = SCHEDULES
        self.reads: list[Deferred[HubConfig]] = []
        self.slow = False
        self.in_force = 0
        self.code_loads = 0
        self.most_in_force = 0
        self.reloader = Reloader(
            self.harness.clock,
            self.harness.hub,
            signature=lambda: succeed(self.signature),
            read=self.read,
            put_in_force=self.put_in_force,
            load_code=self.load_code,
        )

    def read(self) -> Deferred[HubConfig]:
        """Read the file, at once or in time."""
        self.reads.append(Deferred())
        if not self.slow:
            self.answer()
        return self.reads[-1]

    def answer(self) -> None:
        """Let the last read come back."""
        execute(self._parsed).chainDeferred(self.reads[-1])

    def _parsed(self) -> HubConfig:
        if isinstance(self.text, Exception):
            raise self.text
        return config(self.text)

    async def put_in_force(self, new: HubConfig) -> View:
        """Go on with another config, and note how many do so at the same time."""
        self.in_force += 1
        self.most_in_force = max(self.most_in_force, self.in_force)
        try:
            return await self.harness.hub.put_in_force(new)
        finally:
            self.in_force -= 1

    async def load_code(self) -> list[View]:
        """Note that code was loaded."""
        self.code_loads += 1
        return [{"name": "shop"}]

    def watching(self) -> Desk:
        """Begin to watch."""
        self.reloader.watch(self.signature)
        return self

    def edit(self, text: str | Exception, signature: Any) -> None:
        """Change the file."""
        self.text, self.signature = text, signature

    def beat(self, seconds: int) -> int:
        """Let so many seconds pass; return how often the file was read in them."""
        before = len(self.reads)
        self.harness.clock.pump([1] * seconds)
        return len(self.reads) - before

    def errors(self) -> list[str]:
        """The mistakes that the status shows."""
        return list(done(self.harness.hub.status())["config"]["errors"])


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """What the hub's log gets."""
    with hub_log() as events:
        yield events


def test_an_untouched_file_is_not_read() -> None:
    """As long as the file does not change nobody reads it; when watching ends, no timer is left."""
    desk = Desk().watching()
    assert desk.beat(60) == 0
    desk.reloader.stop()
    desk.reloader.stop()
    assert desk.harness.clock.getDelayedCalls() == []


def test_a_change_from_before_the_watch_is_read() -> None:
    """What was edited after the config in force was read, and before the watch began, is not overlooked."""
    desk = Desk()
    desk.edit(NEW, 2)
    desk.reloader.watch(1)
    assert desk.beat(2) == 1
    assert "fresh" in desk.harness.book.schedules


def test_code_is_loaded_on_request() -> None:
    """A file that was saved loads no code. A request does, after the file, and not if the file is broken."""
    desk = Desk().watching()
    desk.edit(NEW, 2)
    assert (desk.beat(2), desk.code_loads) == (1, 0)
    assert "projects" not in done(desk.reloader.reload())
    assert done(desk.reloader.reload(code=True))["projects"] == [{"name": "shop"}]
    desk.text = GONE
    with pytest.raises(ConfigError):
        done(desk.reloader.reload(code=True))
    assert desk.code_loads == 1


def test_code_is_loaded_for_all_who_share_a_reload() -> None:
    """One of those who wait for the same reload wants the code: it is loaded once, in that reload."""
    desk = Desk()
    desk.slow = True
    going = [Deferred.fromCoroutine(desk.reloader.reload(code)) for code in (False, False, True, False)]
    for _ in range(2):
        desk.answer()
    assert [("projects" in done(each)) for each in going] == [False, True, True, True]
    assert desk.code_loads == 1


def test_the_log_names_added_and_removed_projects(logged: list[LogEvent]) -> None:
    """A reload that adds or removes projects names them in the log; one that does not has no line of them."""
    desk = Desk().watching()
    for signature, projects in enumerate(["{shop: {path: .}}", "{books: {path: .}}"], start=2):
        desk.edit(SCHEDULES.replace("{shop: {path: .}}", projects), signature)
        desk.beat(2)
    texts = [formatEvent(event) for event in logged]
    assert sum("the schedule file is in force" in text for text in texts) == 2
    assert [text for text in texts if text.startswith("projects:")] == [
        "projects: added ['books'], removed ['shop']"
    ]


def test_a_change_is_read_once_it_has_settled() -> None:
    """A file that is still being written is left alone; once it is at rest for a second it is read, once."""
    desk = Desk().watching()
    for signature in range(2, 9):
        desk.edit(NEW, signature)
        assert desk.beat(1) == 0
    assert desk.beat(1) == 1
    assert "fresh" in desk.harness.book.schedules
    assert desk.beat(60) == 0
    assert desk.harness.events() == ["config.reloaded"]


def test_every_kind_of_change_shows_in_the_signature(tmp_path: Path) -> None:
    """In place, by rename, behind a link, with the same length and the old times put back: each is seen."""
    file, seen = tmp_path / "schedule.yaml", [file_signature(tmp_path / "schedule.yaml")]

    def changed() -> bool:
        seen.append(file_signature(file))
        return seen[-1] != seen[-2] and seen[-1] == file_signature(file)

    def rewritten(content: str) -> bool:
        file.write_text(content)
        os.utime(file, (1, 1))
        return changed()

    assert seen == [None] and rewritten("schedules: {}")
    until(lambda: rewritten("schedules: []"), 5, "a tick of the file system's clock")
    draft = tmp_path / "draft"
    draft.write_text("schedules: ()")
    os.utime(draft, (1, 1))
    draft.replace(file)
    assert changed()
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "schedule.yaml").write_text("schedules: {}")
        (tmp_path / "..data_tmp").symlink_to(f"..{number}")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        if number == 1:
            file.unlink()
            file.symlink_to("..data/schedule.yaml")
        assert changed()


def test_a_change_taken_back_is_not_read() -> None:
    """A file that is as it was when it was last read has nothing new to say."""
    desk = Desk().watching()
    desk.edit("half", 2)
    desk.beat(1)
    desk.edit(SCHEDULES, 1)
    assert desk.beat(60) == 0


def test_mistakes_go_to_status_event_and_log(logged: list[LogEvent]) -> None:
    """A bad file leaves the old config in force and is reported once; a good one clears the mistakes."""
    desk = Desk().watching()
    desk.edit("schedules: [", 2)
    assert desk.beat(60) == 1
    (error,) = desk.errors()
    assert error.startswith("schedule.yaml:2:1: this is not YAML")
    assert desk.harness.sink.events[-1]["config"]["errors"] == [error]
    assert [error in str(event.get("error")) for event in logged] == [True]
    assert "hourly" in desk.harness.book.schedules
    desk.edit(NEW, 3)
    assert desk.beat(2) == 1
    assert desk.errors() == [] and "fresh" in desk.harness.book.schedules
    assert desk.harness.events() == ["config.rejected", "config.reloaded"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_an_emptied_file_keeps_the_config_in_force(text: str) -> None:
    """A file that an editor has emptied, and not written yet, removes no schedule; one that says so does."""
    desk = Desk().watching()
    desk.edit(text, 2)
    with pytest.raises(ConfigError, match="the file is empty"):
        done(desk.reloader.reload())
    assert "hourly" in desk.harness.book.schedules
    desk.edit("schedules: {}", 3)
    assert "hourly" in done(desk.reloader.reload())["removed"]


def test_a_removed_file_keeps_the_config_in_force() -> None:
    """Without its file the hub goes on as it was and says what is missing; when it is back, it is read."""
    desk = Desk().watching()
    desk.edit(GONE, None)
    assert desk.beat(60) == 1
    assert desk.errors() == ["schedule.yaml:1:1: there is no such file"]
    assert "hourly" in desk.harness.book.schedules
    desk.edit(NEW, 2)
    assert desk.beat(2) == 1
    assert desk.errors() == [] and "fresh" in desk.harness.book.schedules


def test_a_reload_by_order() -> None:
    """An order reads the file at once, says what changed, and the watch does not read it again."""
    desk = Desk().watching()
    desk.edit(NEW, 2)
    assert done(desk.reloader.reload())["added"] == ["fresh"]
    assert desk.beat(60) == 0


def test_what_needs_a_restart_is_in_the_log(logged: list[LogEvent]) -> None:
    """Who only saves the file finds in the log what of it waits for the next start."""
    desk = Desk().watching()
    desk.edit(NEW.replace("name: test", "name: other"), 2)
    desk.beat(2)
    (told,) = (event["keys"] for event in logged if "keys" in event)
    assert told == "hub.name"


def test_a_bad_reload_by_order() -> None:
    """An order to read a bad file fails with its mistakes; asked quietly, it does not."""
    desk = Desk()
    desk.edit(GONE, 2)
    with pytest.raises(ConfigError, match="no such file"):
        done(desk.reloader.reload())
    done(desk.reloader.reload_quietly())
    assert desk.harness.events() == ["config.rejected"] * 2


def test_one_at_a_time() -> None:
    """An order that meets a reload under way has one of its own, which begins once that one is over."""
    desk = Desk()
    desk.slow = True
    first = Deferred.fromCoroutine(desk.reloader.reload())
    second = Deferred.fromCoroutine(desk.reloader.reload())
    for number, reload in enumerate((first, second), 1):
        assert len(desk.reads) == number and not reload.called
        desk.edit(NEW.replace("5m", f"{number}h"), number)
        desk.answer()
        assert reload.called
    assert desk.most_in_force == 1
    assert done(desk.harness.hub.schedule("fresh"))["trigger"]["text"] == "2h"


def test_a_storm_of_orders_is_two_reloads(logged: list[LogEvent]) -> None:
    """All who ask while a reload is under way share the next one, its answer and its line in the log."""
    desk = Desk()
    desk.slow = True
    storm = [Deferred.fromCoroutine(desk.reloader.reload()) for _ in range(10_000)]
    desk.answer()
    assert [reload.called for reload in storm] == [True] + [False] * 9_999
    desk.edit(NEW, 2)
    desk.answer()
    answers = [view for reload in storm[1:] for view in [done(reload)]]
    assert len(desk.reads) == 2 and desk.most_in_force == 1
    assert all(answer["added"] == ["fresh"] for answer in answers)
    assert desk.harness.events() == ["config.reloaded"] * 2
    assert len([event for event in logged if "is in force" in str(event.get("log_format"))]) == 2
    assert desk.harness.clock.getDelayedCalls() == []


def test_a_storm_shares_its_mistakes() -> None:
    """Where the shared reload fails all who wait hear why, those who gave up waiting do no harm, and the
    next order is served."""
    desk = Desk()
    desk.slow = True
    storm = [Deferred.fromCoroutine(desk.reloader.reload()) for _ in range(4)]
    storm[2].addErrback(lambda failure: failure.trap(CancelledError))
    storm[2].cancel()
    desk.answer()
    desk.edit(GONE, 2)
    desk.answer()
    for reload in (storm[1], storm[3]):
        with pytest.raises(ConfigError, match="no such file"):
            done(reload)
    assert desk.harness.events() == ["config.reloaded", "config.rejected"]
    desk.slow = False
    desk.edit(NEW, 3)
    assert done(desk.reloader.reload())["added"] == ["fresh"]


def test_an_error_of_the_hub_reaches_all_who_wait() -> None:
    """An error nobody foresaw fails the order that met it, and the reloader goes on."""
    desk = Desk()
    desk.edit(ZeroDivisionError("a mistake of the hub"), 2)
    with pytest.raises(ZeroDivisionError):
        done(desk.reloader.reload())
    desk.edit(NEW, 3)
    assert done(desk.reloader.reload())["added"] == ["fresh"]


def test_the_watch_looks_once_a_second() -> None:
    """A file that never comes to rest is looked at once a second and not read; nor is one looked at while a
    reload that the watch began is under way."""
    desk, looks = Desk().watching(), [0]

    def changing() -> Deferred[int]:
        looks[0] += 1
        return succeed(looks[0])

    desk.reloader._signature = changing
    assert (desk.beat(60), looks[0]) == (0, 60)
    desk.reloader._signature = lambda: succeed(looks.append(0) or -1)
    desk.slow = True
    assert desk.beat(60) == 1
    assert len(looks) == 1 + 3  # two until it has settled, one as it is read
    desk.answer()
    assert desk.beat(60) == 0


def test_a_ledger_that_cannot_keep_the_change() -> None:
    """Where the new config cannot be kept, the old one stays, and the status says why."""
    desk = Desk().watching()
    desk.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    desk.edit(NEW, 2)
    assert desk.beat(5) == 1
    assert desk.errors() == ["the disk is full; make room"]
    assert "fresh" not in desk.harness.book.schedules
    desk.harness.ledger.fail_writes = None
    assert done(desk.reloader.reload())["added"] == ["fresh"]


def test_a_change_that_could_not_be_kept_is_tried_again() -> None:
    """Once a minute, until the ledger takes it; mistakes in a file are no better for waiting."""
    desk = Desk().watching()
    desk.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    desk.edit(NEW, 2)
    assert (desk.beat(5), desk.beat(60), desk.beat(60)) == (1, 1, 1)
    desk.harness.ledger.fail_writes = None
    assert desk.beat(60) == 1
    assert desk.errors() == [] and "fresh" in desk.harness.book.schedules
    desk.edit("schedules: [", 3)
    assert desk.beat(300) == 1
    desk.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    desk.edit(SCHEDULES, 4)
    assert desk.beat(5) == 1
    desk.edit("schedules: [", 5)
    assert desk.beat(300) == 1


def test_the_watch_goes_on_after_an_error_of_the_hub(logged: list[LogEvent]) -> None:
    """An error nobody foresaw is logged with its traceback, and the next change is read all the same."""
    desk = Desk().watching()
    desk.edit(ZeroDivisionError("a mistake of the hub"), 2)
    assert desk.beat(5) == 1
    (failure,) = [event["log_failure"] for event in logged if "log_failure" in event]
    assert failure.check(ZeroDivisionError)
    desk.edit(NEW, 3)
    assert desk.beat(2) == 1
    assert "fresh" in desk.harness.book.schedules


def test_the_watch_goes_on_after_the_disk_failed(logged: list[LogEvent]) -> None:
    """A look that fails is one look lost."""
    desk = Desk().watching()
    desk.reloader._signature = lambda: fail(OSError("no such device"))
    desk.beat(2)
    assert len([event for event in logged if "log_failure" in event]) == 2
    desk.reloader._signature = lambda: succeed(desk.signature)
    desk.edit(NEW, 2)
    assert desk.beat(2) == 1


class Parts:
    """A hub with the parts that a reload reaches, and a config that differs from the config in force."""

    def __init__(self, *changed: str) -> None:
        self.harness, self.projects = HubHarness(), LoadedProjects(*changed)
        harness, self.followed = self.harness, list[HubConfig]()
        done(harness.hub.recover())
        self.scheduler = Scheduler(
            harness.clock, harness.now, lambda *_: succeed(None), lambda *_: succeed(None)
        )
        self.retention = Retention(harness.clock, harness.now, lambda *_: succeed(0), {}, dict)
        self.reload = Reload(
            hub=harness.hub,
            projects=self.projects,
            code=Watched({}, self.projects).code,
            scheduler=self.scheduler,
            retention=self.retention,
            notifier=harness.notifier,
            channels=self.channels,
        )
        shops = {name: ProjectConfig(name=name, path=Path("/", name)) for name in ("shop", "other")}
        self.old_projects = list(harness.hub.config.projects)
        self.new = replace(config(NEW), projects=shops)

    def channels(self, new: HubConfig) -> dict[str, Channel]:
        """Record the config; return its only channel."""
        self.followed.append(new)
        return {"team": MemoryChannel()}


def test_a_reload_reaches_every_part() -> None:
    """Schedules, projects, channels and retention are all those of the new config."""
    parts = Parts()
    assert done(parts.reload.put_in_force(parts.new))["added"] == ["fresh"]
    assert "fresh" in parts.scheduler.next_times()
    assert parts.projects.loads == [["shop", "other"], ["shop", "other"]]
    assert parts.followed == [parts.new] and parts.retention.rule is parts.new.retention


def test_a_changed_project_is_refused() -> None:
    """A config that moves a loaded project changes nothing, and its error names the project."""
    parts = Parts("shop")
    with pytest.raises(ConfigError, match="a loaded project cannot change while the hub runs"):
        done(parts.reload.put_in_force(parts.new))
    assert (parts.projects.loads, parts.followed) == ([], [])
    assert "fresh" not in parts.harness.book.schedules


def test_a_reload_that_fails_loads_the_old_projects() -> None:
    """If the ledger cannot keep the change, the projects of the old config are loaded again."""
    parts = Parts()
    parts.harness.ledger.fail_writes = LedgerError("the disk is full; make room")
    with pytest.raises(LedgerError):
        done(parts.reload.put_in_force(parts.new))
    assert parts.projects.loads == [["shop", "other"], parts.old_projects]
    assert parts.followed == [] and parts.scheduler.next_times() == {}
