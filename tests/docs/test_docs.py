"""What the documentation says is true: examples run, references are complete, links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent

import pytest
from scrapy.settings import default_settings
from twisted.internet.defer import Deferred

from reactorhub import config
from reactorhub.config import HubConfig, parse
from reactorhub.config.keys import (
    ChannelKeys,
    EmailKeys,
    FileKeys,
    HubKeys,
    Keys,
    NotifyKeys,
    ProjectKeys,
    RedisKeys,
    RetentionKeys,
    RetryKeys,
    ScheduleKeys,
    WebhookKeys,
)
from reactorhub.containment.thread_shares import MAX_THREADS_OF_RUN
from reactorhub.daemon.service import SPIDER_THREADS
from reactorhub.daemon.signals import HASTE
from reactorhub.engine.scrapy import project
from reactorhub.engine.scrapy.guards import MAX_SCHEDULED
from reactorhub.errors import ConfigError
from reactorhub.events.types import EventType
from reactorhub.model import notification
from reactorhub.model.batch import Batch
from reactorhub.model.run import Run, RunSpec, RunState
from reactorhub.model.schedule import Schedule, Tick, TickOutcome
from reactorhub.model.spider import BrokenModule, SpiderInfo
from reactorhub.notifications.channels import email as email_channel
from reactorhub.notifications.channels import webhook as webhook_channel
from reactorhub.policies import agenda
from reactorhub.policies import incidents as alerts
from reactorhub.policies.comparisons import MAX_DEPTH, MAX_LENGTH, MAX_RUNS
from reactorhub.policies.expectations import MAX_EXPECTATIONS, METRICS
from reactorhub.runs.escalation import FORCED, SHUTDOWN
from reactorhub.storage import retention
from reactorhub.triggers.durations import EPOCH
from reactorhub.triggers.window import MAX_PERIODS
from reactorhub.web import guard
from reactorhub.web.api import MAX_WAIT, Api
from reactorhub.web.problems import STATUSES
from reactorhub.wire.orders import _READERS, MAX_ARG, MAX_ARGS, SAFE_SETTINGS
from reactorhub.wire.spiders import broken_view, spider_view
from reactorhub.wire.views import batch_view, run_view, schedule_view, tick_view
from tests.docs.docs_runner import KINDS, STARTED_BY_READER, Block, blocks, matches, own_file, practice, steps
from tests.integration.hubs import CHECKOUT
from tests.support.deferreds import done
from tests.support.hubs import HubHarness
from tests.support.receiver import SECRET

DOCS = CHECKOUT / "docs"
INDEX = DOCS / "README.md"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
MAX_TEXT_BLOCKS = 14


def page_name(page: Path) -> str:
    """Return ``operating`` for ``docs/operating.md``, and ``triggers/cron`` for ``docs/triggers/cron.md``."""
    if DOCS not in page.parents or page == INDEX:
        return str(page.relative_to(CHECKOUT).with_suffix(""))
    return str(page.relative_to(DOCS).with_suffix(""))


each_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


class AnyVariable(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, name: str, default: object = None) -> str:
        return SECRET if name.endswith("_SECRET") else f"the-value-of-{name}"


def chosen(kind: str) -> list[Block]:
    """Return all blocks of a kind."""
    return [block for block in BLOCKS if block.kind == kind]


def whole_file(block: Block) -> str:
    """Return a schedule file that holds this block, whatever part of one it is."""
    match block.options.get("fragment"):
        case None:
            return block.text
        case "schedule":
            spider = "" if re.search(r"^spider:", block.text, re.MULTILINE) else "    spider: books\n"
            return f"schedules:\n  example:\n{spider}{indent(block.text, '    ')}"
        case section:
            return f"{section}:\n{indent(block.text, '  ')}"


def read(text: str) -> HubConfig:
    """Read a schedule file as the hub would."""
    return parse(text, "schedule.yaml", AnyVariable(), Path("/nowhere"), "test")


def section(page: str, title: str) -> str:
    """Return the text below a heading, up to the next heading of its level or above."""
    text = (DOCS / page).read_text("utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"{page} has no section {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def first_column(text: str) -> set[str]:
    """Return the names in backquotes in the first column of the tables of a text."""
    return {name for cell in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in _quoted(cell)}


def _quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# -- examples


@each_page
def test_page_is_followed_to_its_end(page: Path) -> None:
    """Every command and Python block of a page works in a fresh clone, and prints what the page shows."""
    todo = [step for block in blocks(page) for step in steps(block)]
    needed = any(":6800" in step.command for step in todo)
    started = needed and STARTED_BY_READER not in page.read_text("utf-8")
    with practice(started=started, config=own_file(page)) as ground:
        ground.follow(todo)


@pytest.mark.parametrize("block", chosen("yaml"), ids=lambda block: block.where)
def test_yaml_is_what_the_hub_reads(block: Block) -> None:
    """A schedule file, or a part of one, is read without a mistake; one that is shown as broken has some."""
    if "broken" in block.options:
        with pytest.raises(ConfigError):
            read(whole_file(block))
    else:
        read(whole_file(block))


def test_no_block_escapes() -> None:
    """Every block has a known kind and known options, and few are plain text."""
    unknown = [block.where for block in BLOCKS if not block.options.keys() <= KINDS.get(block.kind, set())]
    assert not unknown
    assert {block.kind for block in BLOCKS} <= KINDS.keys()
    assert len(chosen("text")) <= MAX_TEXT_BLOCKS
    fences = sum(page.read_text("utf-8").count("```") for page in PAGES)
    assert fences == 2 * len(BLOCKS), "a fence is indented, or not closed"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("run ... ends", "run 7 ends\nlate", False),
        ('{"a": 1, ...}', '{"b": 2, "a": 1}', True),
        ('{"a": 1}', '{"b": 2, "a": 1}', False),
        ('{"a": ...}', '{"a": [1, 2]}', True),
        ('{"a": [{"b": "x..."}, ...]}', '{"a": [{"b": "xyz"}, 7]}', True),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": 1}\n...', '{"a": 1}\n{"a": 2}', True),
    ],
)
def test_three_dots_stand_for_anything(expected: str, printed: str, same: bool) -> None:
    """The comparison that all examples rest on tells right from wrong."""
    assert matches(expected, printed) is same


# -- references


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("The file", FileKeys),
        ("hub", HubKeys),
        ("hub.projects", ProjectKeys),
        ("hub.redis", RedisKeys),
        ("hub.notify", ChannelKeys),
        ("hub.notify.NAME.email", EmailKeys),
        ("hub.notify.NAME.webhook", WebhookKeys),
        ("Notify", NotifyKeys),
        ("hub.retention", RetentionKeys),
        ("schedules", ScheduleKeys),
        ("Retries", RetryKeys),
    ],
)
def test_every_key_is_in_the_reference(title: str, keys: type[Keys]) -> None:
    """The schedule reference names every key there is, and none that is not."""
    own = re.split(r"^#+ hub\.", section("schedule-reference.md", title), flags=re.MULTILINE)[0]
    assert first_column(own) == keys.model_fields.keys()


def test_every_metric_is_in_the_reference() -> None:
    """The table of metrics has all that are no stats."""
    assert first_column(section("expectations.md", "Metrics")) == set(METRICS)


def routes() -> Iterator[str]:
    """Return every method and path of the API."""
    for rule in Api.app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(?:run_|batch_)?(\w+)>", r"{\1}", str(rule))
        for method in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}:
            yield f"{method} {path}"


def test_every_route_is_in_the_reference() -> None:
    """The HTTP reference has a heading for every route there is, and for none that is not."""
    text = (DOCS / "http-reference.md").read_text("utf-8")
    found = re.findall(r"^### ([A-Z]+ /\S*(?:, [A-Z]+ /\S*)*)$", text, re.MULTILINE)
    assert {route for line in found for route in line.split(", ")} == set(routes())


def test_every_problem_is_in_the_reference() -> None:
    """The table of statuses has every status that an error of the hub is answered with."""
    numbers = {str(status.value) for status in STATUSES.values()}
    assert numbers <= first_column(section("http-reference.md", "Mistakes"))


def test_shapes_are_those_of_the_views() -> None:
    """The tables of fields are those of the views, field by field."""
    run = Run(id="1", spec=RunSpec(spider="a", project="b"), created_at=EPOCH)
    tick = Tick(
        schedule="a",
        nominal_time=EPOCH,
        outcome=TickOutcome.RUN,
        reason=None,
        run_id="1",
        recorded_at=datetime.now(UTC),
    )
    schedule = Schedule(name="a", spec=replace(run.spec, schedule="a"))
    shapes = {
        "A run": run_view(run),
        "A tick": tick_view(tick),
        "A schedule": schedule_view(schedule, ()),
        "A batch": batch_view(Batch(id="b", created_at=EPOCH), {}),
        "A spider": spider_view(SpiderInfo(name="a", project="b", docstring=None, arguments=()), None),
        "A broken module": broken_view(BrokenModule(project="b", module="m", error="e", traceback="t")),
        "The status": status_of_a_hub(),
        "POST /api/reload": reload_of_a_hub(),
        "An order": dict.fromkeys(_READERS),
    }
    for title, view in shapes.items():
        assert first_column(section("http-reference.md", title)) == view.keys(), title


def status_of_a_hub() -> dict[str, object]:
    """Return the status of a hub on doubles."""
    harness = HubHarness()
    harness.ledger.open()
    seen: list[dict[str, object]] = []
    Deferred.fromCoroutine(harness.hub.status()).addCallback(seen.append)
    return seen[0]


def reload_of_a_hub() -> dict[str, object]:
    """Return the answer to a reload of a hub on doubles; the reloader adds which code is in force."""
    harness = HubHarness()
    done(harness.hub.recover())
    return {**done(harness.hub.put_in_force(harness.config)), "projects": {}}


def test_settings_of_an_order_are_those_allowed() -> None:
    """Each setting that is listed for an order is taken, and none of Scrapy's that is taken is left out."""
    listed = set(_quoted(section("http-reference.md", "Settings that an order may carry")))
    names = {name for name in listed if re.fullmatch("[A-Z_0-9]+", name)}
    assert {name for name in names if not SAFE_SETTINGS.fullmatch(name)} == set()
    assert {name for name in vars(default_settings) if SAFE_SETTINGS.fullmatch(name)} <= names


def test_states_are_in_the_table() -> None:
    """The table of states has all of them."""
    assert first_column(section("how-it-works.md", "States")) == {state.value for state in RunState}


def test_event_types_are_in_the_table() -> None:
    """The table of events has all types that the hub sends, and no other."""
    assert first_column(section("redis.md", "Events")) == {kind.value for kind in EventType}


def test_commands_are_those_of_make() -> None:
    """The table of commands has every target that is there to be called."""
    (targets,) = re.findall(r"^.PHONY: (.*)$", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert first_column(section("developing.md", "Commands")) == {f"make {each}" for each in targets.split()}


def test_forced_settings_are_named() -> None:
    """People with a project are told each setting that the hub forces or has a default of its own for."""
    listed = set(_quoted(section("your-own-project.md", "What the hub changes")))
    assert {*project.FORCED, *project.DEFAULTS} <= listed


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("how-it-works.md", f"at once | {SHUTDOWN.abort:g} s |"),
        ("how-it-works.md", f"5 s later | {FORCED.cancel_tasks:g} s | {SHUTDOWN.cancel_tasks:g} s |"),
        ("how-it-works.md", f"10 s later | {FORCED.abandon:g} s | {SHUTDOWN.abandon:g} s |"),
        ("how-it-works.md", f"ends the process {HASTE:g} seconds after the grace"),
        (
            "how-it-works.md",
            f"`stop_grace` is {RunSpec.__dataclass_fields__['stop_grace'].default:g} seconds",
        ),
        ("operating.md", f"every {retention.EVERY / 60:g} minutes, in steps of {retention.AT_ONCE} rows"),
        ("operating.md", f"or {retention.FILES_AT_ONCE} files"),
        ("operating.md", f"with {retention.PAUSE:g} seconds between"),
        ("schedule-reference.md", f"`max_concurrent_runs` | `{config.MAX_CONCURRENT_RUNS}`"),
        ("schedule-reference.md", f"`max_queued_runs` | `{config.MAX_QUEUED_RUNS}`"),
        ("schedule-reference.md", f"`shutdown_grace` | `{config.SHUTDOWN_GRACE:g}s`"),
        ("policies/catch-up.md", f"The first {agenda.MAX_DUE:,} missed ticks of a schedule have a row each"),
        ("policies/start-end-exclude.md", f"After {MAX_PERIODS:,} days in a row"),
        (
            "schedule-reference.md",
            f"`max_catchup` | `{Schedule.__dataclass_fields__['max_catchup'].default}`",
        ),
        ("policies/catch-up.md", f"No window is shorter than {agenda.ON_TIME.seconds} seconds"),
        ("policies/overlap-buffer-all.md", f"The limit is {config.MAX_QUEUED_RUNS:,} unless you set one"),
        (
            "expectations.md",
            f"A text has up to {MAX_LENGTH} characters and {MAX_DEPTH} levels of parentheses",
        ),
        ("expectations.md", f"a schedule up to {MAX_EXPECTATIONS} expectations"),
        ("expectations.md", f"up to {MAX_RUNS}. `last()`"),
        ("notify.md", f"The message waits {alerts.GATHERING.seconds} seconds"),
        ("notify.md", f"names the first {alerts.MAX_NAMED}"),
        ("notify.md", f"tried again after {notification.FIRST_RETRY_DELAY:g} seconds"),
        (
            "notify.md",
            f"After {notification.GIVE_UP_AFTER.total_seconds() / 3600:g} hours the notification is given up",
        ),
        ("notify.md", f"At most {alerts.MAX_WAITING:,} notifications wait in a channel"),
        ("notify.md", f"at most {webhook_channel.MAX_TRY:g} seconds for a webhook"),
        ("notify.md", f"and {email_channel.MAX_TRY:g} seconds for a mail"),
        ("your-own-project.md", f"while {MAX_SCHEDULED:,} of its requests wait"),
        ("your-own-project.md", f"share {SPIDER_THREADS} threads"),
        ("your-own-project.md", f"Of each run {MAX_THREADS_OF_RUN} calls"),
        ("http-reference.md", f"larger than {guard.MAX_BODY // 1024} KiB"),
        (
            "http-reference.md",
            f"closed after {guard.IDLE} seconds; there are at most {guard.MAX_CONNECTIONS}",
        ),
        ("http-reference.md", f"up to {MAX_ARGS} names with texts of up to {MAX_ARG} characters"),
        ("http-reference.md", f"a number of seconds up to {MAX_WAIT:g}"),
    ],
)
def test_figures_are_those_of_the_code(page: str, text: str) -> None:
    """A limit or a time that a page quotes is the one in force."""
    assert text in " ".join((DOCS / page).read_text("utf-8").split())


# -- links


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """A link within the project leads to a file that exists, and to a heading that is there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in headings(place), f"{page.name}: {target}"


def test_readme_leads_to_every_page() -> None:
    """Nobody has to guess that a page exists."""
    links = re.findall(r"\]\(docs/([^)#\s]+)", (CHECKOUT / "README.md").read_text("utf-8"))
    assert set(links) == {page.name for page in DOCS.glob("*.md")}


def test_index_leads_to_every_page() -> None:
    """The index of the documentation lists all pages, those in folders too."""
    links = re.findall(r"\]\(([^)#\s]+\.md)\)", INDEX.read_text("utf-8"))
    listed = {(DOCS / link).resolve() for link in links}
    assert listed >= {page for page in DOCS.rglob("*.md") if page != INDEX}
