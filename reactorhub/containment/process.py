"""Makes the process fit for many runs: the one place that installs what this package replaces, in order."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import ExitStack
from logging import LogRecord

from reactorhub.containment.at_exit import keep_exits_apart
from reactorhub.containment.contexts import watch_collector
from reactorhub.containment.forks import contain_children
from reactorhub.containment.imports import guard_process
from reactorhub.containment.logging_globals import install_logging_globals
from reactorhub.containment.logging_views import install_logging_views
from reactorhub.containment.loop import contain_loop
from reactorhub.containment.modules import tell_modules_apart
from reactorhub.containment.run_logs import routing
from reactorhub.containment.streams import HubOutput, install_streams
from reactorhub.containment.threads import carry_contexts_into_new_threads
from reactorhub.containment.variables import keep_variables_apart
from reactorhub.containment.warned import show_once_to_each


def contain_process(
    loop: AbstractEventLoop, hub_log: Callable[[LogRecord], None], hub_output: HubOutput
) -> Callable[[], None]:
    """Give each run its own log and streams. Return a function that undoes everything, for tests.

    :param hub_log: takes log records that belong to no run.
    :param hub_output: takes printed lines that belong to no run.
    """
    installed = ExitStack()
    for undo in (
        watch_collector(),
        carry_contexts_into_new_threads(),
        install_logging_views(routing(hub_log)),
        install_logging_globals(),
        show_once_to_each(),
        keep_exits_apart(),
        keep_variables_apart(),
        install_streams(hub_output),
        contain_loop(loop),
        contain_children(loop),
        guard_process(),
        tell_modules_apart(),
    ):
        installed.callback(undo)
    return installed.close
