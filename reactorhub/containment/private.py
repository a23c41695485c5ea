"""Everything in Python and Twisted that this package replaces or that is private there, with the reason.

A new version may change any of it. ``tests/containment/test_private.py`` names the part that is gone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A function, class or attribute of Python or Twisted. ``place`` is ``module:name.name``.

    ``takes`` lists the parameters of a function that the hub replaces or calls; None for anything else.
    """

    place: str
    reason: str
    takes: tuple[str, ...] | None = None


RELIED_ON: tuple[Part, ...] = (
    Part(
        "threading:Thread.start",
        "replaced: a thread keeps the context of the code that starts it",
        ("self",),
    ),
    Part("threading:Thread._bootstrap_inner", "replaced: runs a thread in that context", ("self",)),
    Part(
        "concurrent.futures:ThreadPoolExecutor.submit",
        "replaced: work runs in its caller's context, and a worker thread belongs to nobody",
        ("self", "fn", "args", "kwargs"),
    ),
    Part(
        "twisted.python.threadpool:ThreadPool.callInThreadWithCallback",
        "replaced on the instance, for the same reason",
        ("self", "onResult", "func", "args", "kw"),
    ),
    Part("twisted.internet.defer:DebugInfo.__del__", "overridden: reports a lost error in its own context"),
    Part("twisted.internet.defer:DebugInfo", "replaced in its module, where Deferred looks it up"),
    Part(
        "sys:__class__",
        "assigned: only a class of the module sys can answer sys.stdout for each owner",
    ),
)
"""What the hub replaces, overrides or calls. The test checks each place and its parameters."""
