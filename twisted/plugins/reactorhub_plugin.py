"""Makes ``twistd reactorhub`` known. twistd imports this for every command, so it imports next to nothing."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IServiceMaker)
class ReactorHubMaker:
    """Points at :mod:`reactorhub.daemon.tap`; ``options`` is read for the chosen command only."""

    tapname = "reactorhub"
    description = "Runs Scrapy spiders on a schedule and remembers what happened"

    def options(self) -> Any:
        """Return the command's options, with the hub's reactor installed."""
        from reactorhub.daemon.tap import make_options

        return make_options()

    def makeService(self, options: Any) -> Any:
        """Return the hub's service."""
        from reactorhub.daemon.tap import make_service

        return make_service(options)


reactorhub = ReactorHubMaker()
