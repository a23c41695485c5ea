"""The command ``reactorhub``: what can be said of schedules without asking a hub that runs.

Whatever takes long to import is imported by the command that needs it, and nothing here installs a reactor.
"""

from __future__ import annotations

import click

from reactorhub import __version__
from reactorhub.cli.check import check, schema
from reactorhub.cli.common import DEFAULT_FILE, read
from reactorhub.cli.doctor import doctor
from reactorhub.cli.next import MAX_TICKS, next_
from reactorhub.cli.plan import plan
from reactorhub.cli.why import why

__all__ = ["DEFAULT_FILE", "MAX_TICKS", "main", "read"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reactorhub", message="%(prog)s %(version)s")
def main() -> None:
    """Looks at schedules: are they right, what will run when, and why did one not run?

    `twistd reactorhub` runs them.
    """


for command in (check, doctor, next_, plan, why, schema):
    main.add_command(command)
