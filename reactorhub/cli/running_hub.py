"""Asks a running hub by its HTTP API, for commands that need one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import click

from reactorhub.cli.common import config_option, data_option, end, read_or_end
from reactorhub.cli.data_folder import data_folder_state
from reactorhub.errors import StartError

NO_HUB = 4
"""The exit status if no hub answers."""

TIMEOUT = 30.0
"""Seconds until an answer has to come."""

hub_option = click.option(
    "--hub",
    "url",
    metavar="URL",
    envvar="REACTORHUB_URL",
    show_default="$REACTORHUB_URL, else the hub of the data folder",
    help="The address of the hub, such as http://127.0.0.1:6800.",
)


def hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which hub is meant, and ``find_hub``, which finds it when called.

    It returns a :class:`RunningHub`. If there is none, it says so and exits with status 4.
    """

    @wraps(command)
    def with_hub(*args: Any, url: str | None, data_dir: Path | None, file: Path, **given: Any) -> None:
        command(*args, find_hub=lambda: _running_hub(url, data_dir, file), **given)

    return hub_option(data_option(config_option(with_hub)))


class RunningHub:
    """The API of one hub. A call that is refused ends the command with the reason and status 1."""

    def __init__(self, url: str) -> None:
        """:param url: where the API is, without a path."""
        self._url = url.rstrip("/")
        self._opener = build_opener(ProxyHandler({}))  # a hub is not behind the proxy of the internet

    def get(self, path: str) -> Any:
        """Return the answer to ``GET``."""
        return self._ask(Request(self._url + path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the answer to ``POST``."""
        headers = {"Content-Type": "application/json"}
        return self._ask(Request(self._url + path, json.dumps(body).encode(), headers, method="POST"))

    def _ask(self, request: Request) -> Any:
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except HTTPError as error:
            end(f"reactorhub: {_detail(error)}")
        except (OSError, HTTPException, ValueError) as error:
            _no_hub(f"no hub answers at {self._url}: {getattr(error, 'reason', error)}")


def _running_hub(url: str | None, data_dir: Path | None, file: Path) -> RunningHub:
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint="--hub")
        return RunningHub(url)
    folder = data_dir or read_or_end(file).data_dir
    try:
        state = data_folder_state(folder)
    except StartError as error:
        end(f"reactorhub: {error}")
    if not state.running:
        _no_hub(f"no hub runs on the data folder {folder}: start one, or name its address with --hub")
    if state.http is None:
        _no_hub(f"the hub on the data folder {folder} is not ready yet")
    return RunningHub(state.http)


def _detail(error: HTTPError) -> str:
    try:
        detail = json.load(error)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the hub has answered {error.code} {error.reason}"
    return str(detail)


def _no_hub(why: str) -> NoReturn:
    click.echo(f"reactorhub: {why}", err=True)
    sys.exit(NO_HUB)
