"""The text of a new schedule file: a schedule for each spider of a project, all of them manual."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from reactorhub.config import HTTP, MAX_CONCURRENT_RUNS
from reactorhub.config.values import line, name
from reactorhub.config.yaml_source import Kind, Scalar, kind_of
from reactorhub.errors import shortened
from reactorhub.model.spider import Catalog, SpiderInfo

MAX_HINTS = 500
"""A project with more spiders gets one line for each, without comments: the file has a limit of 1 MiB."""

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_NAME = 90  # characters; a name may have 100, and two of the same name get a number each
_MAX_COMMENT = 90  # characters, so that a line stays readable

_HEAD = """\
# What runs, and when. A running hub follows every change of this file.
#
#   reactorhub check         finds mistakes in this file
#   twistd -n reactorhub     starts the hub
#   curl -X POST localhost:6800/api/schedules/NAME/trigger     runs the schedule NAME now

hub:
  projects:
{project}
  max_concurrent_runs: {limit}    # more runs than that wait for a free slot
  # http: {http}    # where the API listens
  # data_dir: var    # everything the hub writes; keep this folder out of version control
  # timezone: Europe/Berlin    # the time zone of every cron; UTC without this key

# Keys that hold for every schedule:
# defaults:
#   timeout: 2h
#   retry: {{max_retries: 2, delay: 30s}}

# One schedule for each spider. All of them are manual: they run only when you ask for it.
# A schedule runs on its own once it has a trigger: cron, interval, at or after.
"""
_EXAMPLE = """\
  # NAME:
  #   spider: NAME
  #   cron: "0 3 * * *"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What should have a process of its own, and why: the whole project, or single spiders by name."""

    project: str | None = None
    spiders: Mapping[str, str] = field(default_factory=dict)


def schedule_file(project: str, path: str, catalog: Catalog, isolated: Isolated | None = None) -> str:
    """Return the text of a schedule file that has a manual schedule for each spider of ``catalog``.

    The text has no mistakes, whatever the spiders are called. Comments name the modules that could not be
    imported, and what else the catalog warns of.

    :param project: the project's name, such as :func:`project_name` returns.
    :param path: the project's folder, as seen from the folder of the file.
    :param isolated: what gets ``isolate: process``, with its reason as a comment.
    """
    isolated = isolated or Isolated()
    head = _HEAD.format(project=_project(project, path, isolated), limit=MAX_CONCURRENT_RUNS, http=HTTP)
    found = [spider for spider in catalog.spiders if _fits(spider.name)]
    single = {} if isolated.project else isolated.spiders
    entries = _entries(found, single) if len(found) <= MAX_HINTS else _short_entries(found, single)
    return f"{head}{''.join(_notes(catalog))}schedules:\n{''.join(entries) or _EXAMPLE}"


def _project(name: str, path: str, isolated: Isolated) -> str:
    if isolated.project is None:
        return f"    {quoted(name)}: {{path: {quoted(path)}}}"
    why = comment(isolated.project)
    return f"    {quoted(name)}: {{path: {quoted(path)}, isolate: process}}    # {why}"


def project_name(text: str) -> str:
    """Return a name for a project, made from ``text``; ``default`` if ``text`` has no character for it."""
    return _as_name(text) or "default"


def quoted(text: str) -> str:
    """Return ``text`` as a value or key of the schedule file, in quotes only if it needs them.

    Characters that YAML cannot hold are escaped, and ``${`` stays ``${`` instead of naming a variable.
    """
    if _PLAIN.fullmatch(text) and kind_of(text) is Kind.TEXT:
        return text
    written = yaml.safe_dump(
        text.replace("${", "$${"), default_style='"', allow_unicode=True, width=float("inf")
    )
    return str(written).strip()


def comment(text: str) -> str:
    """Return ``text`` as it can stand behind ``#``: on one line, short, without control characters."""
    one_line = " ".join(text.split())
    return shortened("".join(each if each.isprintable() else "?" for each in one_line), _MAX_COMMENT)


def _fits(spider: str) -> bool:
    """Whether the schedule file can name this spider: its name is text on one line."""
    try:
        return line(Scalar(spider, Kind.TEXT, spider)) == spider and bool(spider.encode("utf-8"))
    except ValueError:
        return False


def _as_name(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text).strip("-.")[:_MAX_NAME]


def _notes(catalog: Catalog) -> Iterator[str]:
    """Yield the comments about what is missing from the schedules."""
    for broken in catalog.broken:
        what = broken.told("its spiders are missing here")
        yield f"#\n# {comment(what[0].upper() + what[1:])}:\n"
        yield f"#   {comment(broken.error)}\n"
    for warning in catalog.warnings:
        yield f"#\n# {comment(warning)}\n"
    for spider in catalog.spiders:
        if not _fits(spider.name):
            yield f"#\n# No schedule can name the spider {comment(ascii(spider.name))}; rename the spider.\n"


def _entries(spiders: Iterable[SpiderInfo], isolated: Mapping[str, str]) -> Iterator[str]:
    for number, (key, spider) in enumerate(_named(spiders)):
        summary = comment((spider.docstring or "").strip().partition("\n")[0])
        yield f"\n  {quoted(key)}:{f'    # {summary}' if summary else ''}\n"
        yield f"    spider: {quoted(spider.name)}\n"
        if spider.name in isolated:
            yield f"    isolate: process    # {comment(isolated[spider.name])}\n"
        # Each hint has a minute of its own, so that nobody who takes several of them starts all at once.
        yield f'    # cron: "{number % 60} 3 * * *"    # every day at 3:{number % 60:02}\n'
        if spider.arguments:
            yield f"    # args: {{}}    # the spider takes {comment(', '.join(spider.arguments))}\n"


def _short_entries(spiders: Iterable[SpiderInfo], isolated: Mapping[str, str]) -> Iterator[str]:
    for key, spider in _named(spiders):
        isolate = ", isolate: process" if spider.name in isolated else ""
        yield f"  {quoted(key)}: {{spider: {quoted(spider.name)}{isolate}}}\n"


def _named(spiders: Iterable[SpiderInfo]) -> Iterator[tuple[str, SpiderInfo]]:
    """Yield each spider with a schedule name of its own: the spider's name as far as it can be one."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for spider in spiders:
        stem = key = _as_name(spider.name) or "spider"
        while key in taken:
            numbers[stem] = numbers.get(stem, 1) + 1
            key = f"{stem}-{numbers[stem]}"
        taken.add(name(key))
        yield key, spider
