"""The command ``reactorhub``: what can be done with a schedule file, and with the feeds of a running hub.

Each command is imported when it is called. This keeps ``--version``, ``--help`` and shell completion fast.
Nothing here installs a reactor.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from reactorhub import __version__


class LazyCommand(click.Command):
    """Stands in for a command until it is called. Lists of commands need only its name and its summary."""

    def __init__(self, name: str, place: str, summary: str) -> None:
        """
        :param place: the command as ``module:attribute``.
        :param summary: the first paragraph of the command's help.
        """
        super().__init__(name, help=summary)
        self._place = place

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command itself. From here on click works with that command."""
        return self.load().make_context(info_name, args, parent, **extra)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reactorhub", message="%(prog)s %(version)s")
def main() -> None:
    """Checks schedules and explains them: are they right, what will run when, and why did one not run?

    `reactorhub init` writes a first schedule file. `twistd reactorhub` runs the schedules.
    """


COMMANDS = (
    LazyCommand(
        "check",
        "reactorhub.cli.check:check",
        "Print every mistake in FILE, and warnings. The exit status is 1 if there are mistakes.",
    ),
    LazyCommand(
        "init",
        "reactorhub.cli.init:init",
        "Write a schedule file for the Scrapy project in this folder: a manual schedule for each spider.",
    ),
    LazyCommand(
        "doctor",
        "reactorhub.cli.doctor:doctor",
        "Say which spiders can share the reactor, and why others should have a process of their own.",
    ),
    LazyCommand(
        "next",
        "reactorhub.cli.next:next_",
        "Print when the schedule NAME fires next, or when all schedules do.",
    ),
    LazyCommand(
        "plan",
        "reactorhub.cli.plan:plan",
        "Forecast, hour by hour, how many slots the schedules need and where runs pile up.",
    ),
    LazyCommand(
        "why",
        "reactorhub.cli.why:why",
        "Explain why the schedule NAME did not run, and show what became of its ticks.",
    ),
    LazyCommand(
        "feeds",
        "reactorhub.cli.feeds:feeds",
        "Print the feeds in Redis that a running hub knows: what waits, and how many dead letters there are.",
    ),
    LazyCommand(
        "schema", "reactorhub.cli.check:schema", "Print the JSON Schema of the schedule file, for editors."
    ),
)
"""All commands. A test compares each summary with the help of the command."""

for each in COMMANDS:
    main.add_command(each)
