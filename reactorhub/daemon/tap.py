"""The options of ``twistd reactorhub``, and the service that it starts.

twistd asks only the chosen command for its options, so the reactor is installed there. Other
commands, such as ``twistd web``, keep their own reactor.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from reactorhub import __version__
from reactorhub.daemon import reactor as reactors
from reactorhub.errors import ConfigError, ReactorHubError, WrongReactor

if TYPE_CHECKING:
    from reactorhub.config import HubConfig

DEFAULT_FILE = "schedule.yaml"


class Options(usage.Options):
    """The command line of ``twistd reactorhub``."""

    synopsis = "[options]"
    longdesc = "Runs Scrapy spiders on the schedules of a YAML file. All spiders share one reactor."
    optParameters = (
        ("config", "c", None, "The schedule file (default: $REACTORHUB_CONFIG, else schedule.yaml)"),
        (
            "http",
            None,
            None,
            "The endpoint of the HTTP API (default: hub.http, else tcp:6800:interface=127.0.0.1)",
        ),
        (
            "data-dir",
            None,
            None,
            "The folder for everything that the hub writes (default: hub.data_dir, else var)",
        ),
    )
    settings: HubConfig
    file: Path
    """The schedule file. The path is absolute."""

    signature: object
    """The signature of the file before it was read; see :func:`~reactorhub.config.reading.file_signature`."""

    def opt_version(self) -> NoReturn:
        """Display reactorhub's version and exit."""
        sys.stdout.write(f"reactorhub {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the schedule file now, while twistd can still exit with a clear message and status 1."""
        from reactorhub.config.reading import file_signature

        self._settle_paths()
        self.signature = file_signature(self.file)
        try:
            self.settings = self.read()
        except ReactorHubError as error:
            _refuse(error)

    def _settle_paths(self) -> None:
        """Make paths absolute: twistd, and code of projects, may change to another folder.

        Messages name the file as it was given, unless twistd changes to the folder that ``--rundir`` names.
        """
        file = Path(self["config"] or os.environ.get("REACTORHUB_CONFIG") or DEFAULT_FILE)
        self.file = file.absolute()
        moves = self.parent is not None and self.parent["rundir"] != "."
        self["config"] = str(self.file if moves else file)
        sys.path[:] = [str(Path(each).absolute()) for each in sys.path]
        if self["data-dir"]:
            self["data-dir"] = str(Path(self["data-dir"]).absolute())

    def read(self) -> HubConfig:
        """Read the schedule file. Options of the command line win over the file.

        :raises ConfigError: with every mistake in the file.
        """
        from reactorhub.config.reading import read_config

        overrides: dict[str, Any] = {}
        if self["http"]:
            overrides["http"] = self["http"]
        if self["data-dir"]:
            overrides["data_dir"] = Path(self["data-dir"])
        return read_config(self.file, overrides, os.environ, shown=Path(self["config"]))


def make_options() -> Options:
    """Install the reactor, then return the options. If another reactor is installed, exit with one line."""
    try:
        reactors.install()
    except WrongReactor as error:
        _refuse(error)
    return Options()


def make_service(options: Options) -> IService:
    """Return the hub as a service. twistd starts the service after it has become a daemon, if it does."""
    from twisted.internet import reactor

    from reactorhub.daemon.service import HubService

    stop = reactors.prepare(reactor)
    parent: Any = options.parent
    console = sys.__stdout__ if parent is not None and parent["nodaemon"] else None
    complaints = os.fdopen(os.dup(2), "w")  # when a daemon starts the service, its stderr is closed
    _end_plainly()
    return HubService(
        options.settings,
        options.read,
        options.file,
        reactor,
        signature=options.signature,
        stop_reactor=stop,
        console=console,
        complaints=complaints,
    )


def _refuse(error: ReactorHubError) -> NoReturn:
    sys.stderr.write(f"{error}\n" if isinstance(error, ConfigError) else f"reactorhub: {error}\n")
    raise SystemExit(1)


def _end_plainly() -> None:
    """Show no traceback for an error that the hub raises on purpose: its message has been printed already."""
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, ReactorHubError):
            show(kind, error, trace)

    sys.excepthook = hook
