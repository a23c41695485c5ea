"""``reactorhub feeds``: the feeds in Redis that a hub knows, and their dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import click

from reactorhub.cli.common import count_option, json_option, many, print_json, print_table
from reactorhub.cli.running_hub import RunningHub, hub_options
from reactorhub.errors import shortened

MAX_LETTERS = 200
"""How many dead letters one answer of the hub has."""


FindHub = Callable[[], RunningHub]


@click.group(invoke_without_command=True)
@hub_options
@json_option
@click.pass_context
def feeds(context: click.Context, *, find_hub: FindHub, as_json: bool) -> None:
    """Print the feeds in Redis that a running hub knows: what waits, and how many dead letters there are."""
    if context.invoked_subcommand is not None:
        return
    answer = find_hub().get("/api/feeds")
    if as_json:
        print_json(answer)
        return
    rows = [
        (each["key"], each["kind"], *(str(each[name]) for name in ("waiting", "in_flight", "dead")))
        for each in answer["feeds"]
    ]
    print_table(("FEED", "KIND", "WAITING", "IN FLIGHT", "DEAD"), rows, ("WAITING", "IN FLIGHT", "DEAD"))
    for each in answer["feeds"]:
        if each.get("trouble"):
            click.echo(f"{each['key']}: {each['trouble']}", err=True)


@feeds.command()
@click.argument("feed")
@count_option(1, MAX_LETTERS, "How many dead letters to show.", default=20)
@hub_options
@json_option
def dead(feed: str, *, count: int, find_hub: FindHub, as_json: bool) -> None:
    """Print the dead letters of FEED, the newest first."""
    answer = find_hub().get(f"{_path(feed)}?limit={count}")
    if as_json:
        print_json(answer)
    elif not answer["dead"]:
        click.echo(f"{feed} has no dead letters")
    else:
        print_table(("ID", "TIME", "ENTRY", "REASON"), map(_row, answer["dead"]))


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the feed, and the ids of dead letters or the option ``--all``."""
    every = click.option("--all", "every", is_flag=True, help="All dead letters of the feed.")
    return click.argument("feed")(click.argument("ids", nargs=-1)(every(hub_options(command))))


@feeds.command()
@_choosing
def requeue(feed: str, *, ids: Sequence[str], every: bool, find_hub: FindHub) -> None:
    """Let dead letters of FEED be read again: those with these IDS, or all of them."""
    body = _chosen(ids, every)
    number = find_hub().post(f"{_path(feed)}/requeue", body)["requeued"]
    click.echo(f"requeued {many(number, 'dead letter')}")


@feeds.command()
@_choosing
def purge(feed: str, *, ids: Sequence[str], every: bool, find_hub: FindHub) -> None:
    """Delete dead letters of FEED: those with these IDS, or all of them."""
    body = _chosen(ids, every)
    number = find_hub().post(f"{_path(feed)}/purge", body)["purged"]
    click.echo(f"deleted {many(number, 'dead letter')}")


def _path(feed: str) -> str:
    return f"/api/feeds/{quote(feed, safe=':')}/dead"


def _chosen(ids: Sequence[str], every: bool) -> dict[str, Any]:
    if bool(ids) == every:
        raise click.UsageError("name the ids of dead letters, or say --all")
    return {} if every else {"ids": list(ids)}


def _row(letter: dict[str, Any]) -> tuple[str, ...]:
    entry = shortened(" ".join(letter["entry"].split()))
    return (letter["id"], letter["at"] or "", entry, letter["reason"] or "")
