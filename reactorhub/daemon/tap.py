"""What ``twistd reactorhub`` understands, and the service it makes of it.

twistd asks for ``options`` of the chosen command only, and for those of no other. So the reactor is installed
there: ``twistd web`` keeps its own.
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
    longdesc = "Runs Scrapy spiders on the schedules of a YAML file, on one reactor, steered with curl."
    optParameters = (
        ("config", "c", None, "The schedule file (default: $REACTORHUB_CONFIG, else schedule.yaml)"),
        (
            "http",
            None,
            None,
            "Endpoint of the HTTP API (default: hub.http, else tcp:6800:interface=127.0.0.1)",
        ),
        ("data-dir", None, None, "Folder for everything the hub writes (default: hub.data_dir, else var)"),
    )
    settings: HubConfig
    signature: object
    """What the file was like before it was read."""

    def opt_version(self) -> NoReturn:
        """Display reactorhub's version and exit."""
        sys.stdout.write(f"reactorhub {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the schedule file while twistd can still end with a clear message and status 1."""
        from reactorhub.config.reading import file_signature

        self._settle_paths()
        self.signature = file_signature(self.file)
        try:
            self.settings = self.read()
        except ReactorHubError as error:
            _refuse(error)

    @property
    def file(self) -> Path:
        """The schedule file, as mistakes call it."""
        return Path(self["config"])

    def _settle_paths(self) -> None:
        """Make paths mean the same after twistd has gone to the folder that ``--rundir`` names."""
        file = Path(self["config"] or os.environ.get("REACTORHUB_CONFIG") or DEFAULT_FILE)
        moves = self.parent is not None and self.parent["rundir"] != "."
        self["config"] = str(file.absolute() if moves else file)
        if self["data-dir"]:
            self["data-dir"] = str(Path(self["data-dir"]).absolute())

    def read(self) -> HubConfig:
        """Read the schedule file, with the command line's own words put above it.

        :raises ConfigError: with all that is wrong with it.
        """
        from reactorhub.config.reading import read_config

        overrides: dict[str, Any] = {}
        if self["http"]:
            overrides["http"] = self["http"]
        if self["data-dir"]:
            overrides["data_dir"] = Path(self["data-dir"])
        return read_config(self.file, overrides, os.environ)


def make_options() -> Options:
    """Install the reactor, then return the options; ends with one line where another reactor is installed."""
    try:
        reactors.install()
    except WrongReactor as error:
        _refuse(error)
    return Options()


def make_service(options: Options) -> IService:
    """Return the hub as a service that twistd starts after it has become a daemon, if it does."""
    from twisted.internet import reactor

    from reactorhub.daemon.service import HubService

    stop = reactors.prepare(reactor)
    parent: Any = options.parent
    console = sys.__stdout__ if parent is not None and parent["nodaemon"] else None
    complaints = os.fdopen(os.dup(2), "w")  # a daemon's own stderr leads nowhere by the time it starts
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
    """Show no traceback for an error that the hub raises on purpose; it has been told in a line already."""
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, ReactorHubError):
            show(kind, error, trace)

    sys.excepthook = hook
