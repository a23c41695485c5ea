"""The schedule file becomes one frozen value, or a list of every mistake in it with its place."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from reactorhub.config import MAX_BYTES, load
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import ConfigError
from reactorhub.storage.retention import RetentionConfig
from tests.config.config_cases import ENVIRON, FULL, in_schedule, mistakes, read


@pytest.mark.parametrize("text", ["", "# nothing\n", "hub:\ndefaults:\nschedules:\n", "---\n"])
def test_an_empty_file_is_a_hub_without_schedules(text: str) -> None:
    """Everything has a default, so a file may say nothing."""
    config = read(text)
    assert config.schedules == {}
    assert config.projects == {
        "default": ProjectConfig(name="default", path=Path("/etc/hub"), spider_modules=())
    }
    assert config.queues == {"default": 16}
    assert (config.name, config.http) == ("host", "tcp:6800:interface=127.0.0.1")
    assert (config.data_dir, config.timezone) == (Path("/etc/hub/var"), "UTC")
    assert (config.max_concurrent_runs, config.max_queued_runs, config.shutdown_grace) == (16, 10_000, 60.0)
    assert config.redis is None
    assert config.retention == RetentionConfig(runs=None, logs=None, items=None)
    assert config.demo_site is None


def test_one_mistake_hides_no_other() -> None:
    """Whatever else is wrong with a schedule or a list, each mistake is told, at its own place."""
    text = """\
    schedules:
      a: {spider: s, interval: 5x, exclude: "0 0 31 4 *"}
      b: {spider: s, interval: 5x, start_time: 2027-01-01T00:00:00, end_time: 2026-01-01T00:00:00}
      c: {spider: s, cron: ["", "* *", "@daily", "61 * * * *"]}
      d: {spider: s, interval: 1h, exclude: [christmas, 2026-01-02..2026-01-01, "0 0 31 4 *"]}
      e: {after: [a, a, x, y]}
    defaults: {exclude: ["@daily", "* *"]}
    """
    assert [": ".join(mistake.split(": ")[:2]) for mistake in mistakes(text)] == [
        "2:28: schedules.a.interval",
        "2:41: schedules.a.exclude",
        "3:28: schedules.b.interval",
        "3:75: schedules.b.end_time",
        "4:25: schedules.c.cron[0]",
        "4:29: schedules.c.cron[1]",
        "4:46: schedules.c.cron[3]",
        "5:42: schedules.d.exclude[0]",
        "5:53: schedules.d.exclude[1]",
        "5:77: schedules.d.exclude[2]",
        "6:3: schedules.e",
        "6:21: schedules.e.after[2]",
        "6:24: schedules.e.after[3]",
        "7:32: defaults.exclude[1]",
    ]


def test_a_key_in_capitals_is_recognized() -> None:
    """A suggestion looks at letters, not at their case."""
    assert in_schedule("CRON: '@daily'") == ["schedules.a.CRON: unknown key 'CRON'; did you mean 'cron'?"]


def test_the_format_of_a_mistake() -> None:
    """A mistake reads file:line:column: path: sentence, at the value it is about."""
    text = "#\n" * 7 + 'schedules:\n  prices:\n    spider: prices\n    cron:\n      "61 * * * *"\n'
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith("schedule.yaml:12:7: schedules.prices.cron: the minute field '61' of")


def test_all_mistakes_at_once() -> None:
    """Mistakes of every kind are found in one go, in file order, and none hides another."""
    text = """\
    hub:
      projects: {shop: {}, blog: {}}
      http: ${NOPE}
      timezone: Nowhere
      queues: {heavy: 0}
    defaults: &common
      enabled: yes
    schedules:
      a:
        spider: on
        cron: "0 0 31 2 *"
        interval: 5
        queue: missing
        project: shp
      a: {}
      b: *common
      c: {spidr: x, args: {name: !!str y}, project: shop}
    """
    assert [mistake.split(": ")[0:2] for mistake in mistakes(text)] == [
        ["3:9", "hub.http"],
        ["4:13", "hub.timezone"],
        ["5:19", "hub.queues.heavy"],
        ["6:11", "defaults"],
        ["7:12", "defaults.enabled"],
        ["10:13", "schedules.a.spider"],
        ["11:11", "schedules.a.cron"],
        ["12:5", "schedules.a.interval"],
        ["12:15", "schedules.a.interval"],
        ["13:12", "schedules.a.queue"],
        ["14:14", "schedules.a.project"],
        ["15:3", "schedules.a"],
        ["16:6", "schedules.b"],
        ["17:3", "schedules.c"],
        ["17:7", "schedules.c.spidr"],
        ["17:24", "schedules.c.args.name"],
        ["17:30", "schedules.c.args.name"],
    ]


def test_mistakes_made_later() -> None:
    """A check elsewhere can point into the file, at the nearest place that is there."""
    config = read(FULL)
    assert str(config.mistake(("hub", "http"), "no port")) == "schedule.yaml:2:9: hub.http: no port"
    late = config.mistake(("schedules", "by_hand", "queue"), "m")
    assert str(late) == "schedule.yaml:40:3: schedules.by_hand.queue: m"
    assert str(config.mistake((), "m")) == "schedule.yaml:1:1: m"


def test_a_config_is_a_value() -> None:
    """A config is frozen, and equal to another where the same is said, wherever it stands in the file."""
    config = read(FULL)
    assert config == read("# moved down\n" + FULL)
    assert config != read(FULL.replace("90s", "91s"))
    with pytest.raises(FrozenInstanceError):
        config.name = "other"  # type: ignore[misc]


def test_load(tmp_path: Path) -> None:
    """A file is read from disk; its own folder is where relative paths start."""
    file = tmp_path / "schedule.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + FULL.encode())
    config = load(file, ENVIRON, "host")
    assert config.file == str(file)
    assert config.data_dir == tmp_path / "state"
    assert config.projects["shop"].path == tmp_path.parent / "shop"


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (
            None,
            "1:1",
            "there is no such file; write one with `reactorhub init --config {file}`, or name another with "
            "--config",
        ),
        ("folder", "1:1", "this is not a file; name the schedule file itself"),
        (b"#" * (MAX_BYTES + 1), "1:1", "is larger than 1 MiB; make it smaller"),
        ("hub:\n  name: \xe9".encode("latin-1"), "2:9", "is not UTF-8 from here on; save the file as UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: Any, place: str, message: str) -> None:
    """A missing, unreadable, oversized or wrongly encoded file is one clear line."""
    file = tmp_path / "schedule.yaml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "folder":
        file.mkdir()
    with pytest.raises(ConfigError) as caught:
        load(file, {}, "host")
    assert str(caught.value) == f"{file}:{place}: {message.format(file=file)}"
