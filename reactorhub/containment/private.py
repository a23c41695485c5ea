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
        "asyncio.events:Handle._run",
        "replaced: SystemExit from a run's callback would end the loop, and runs have the loop in turns; "
        "uvloop's handles are not Python's",
        ("self",),
    ),
    Part(
        "twisted.internet.asyncioreactor:AsyncioSelectorReactor._reschedule",
        "replaced on the instance: the handle that runs all timers must belong to nobody",
        ("self",),
    ),
    Part(
        "asyncio.selector_events:BaseSelectorEventLoop._remove_reader",
        "called: lets go of a file that a run left behind. Looked through for that: _ready, _scheduled and "
        "_selector._fd_to_key of the loop; _context, _callback and _args of its handles",
        ("self", "fd"),
    ),
    Part("asyncio.selector_events:BaseSelectorEventLoop._remove_writer", "likewise", ("self", "fd")),
    Part(
        "builtins:__import__", "replaced where projects share a name: what it means depends on the importer"
    ),
    Part("importlib:import_module", "its code is replaced, for the same reason", ("name", "package")),
    Part(
        "importlib.machinery:SourceFileLoader.get_data",
        "replaced: reads no bytecode of a project's that may be older than its source",
        ("self", "path"),
    ),
    Part("sys:meta_path", "the finder of projects' modules stands in the place of PathFinder, and asks it"),
    Part(
        "asyncio:BaseEventLoop.run_until_complete",
        "replaced, as asyncio.run is: refused to imports with a sentence that says what to do",
        ("self", "future"),
    ),
    Part("atexit:register", "replaced: what a run registers is called at its end; unregister likewise"),
    Part("os:environ", "its class is replaced: each owner has variables of its own"),
    Part("os:_Environ", "overridden: __getitem__, __setitem__, __delitem__, __iter__ and __len__"),
    Part("os:chdir", "replaced: refused to runs and imports, and its neighbours in the module"),
    Part("os:_exit", "replaced, likewise: it would end the hub, as os.kill() and others would"),
    Part("signal:signal", "replaced: refused to runs and imports, and its neighbours in the module"),
    Part("logging:Logger.isEnabledFor", "replaced: the answer depends on the owner", ("self", "level")),
    Part("logging:Logger.filter", "replaced: most loggers have no filters", ("self", "record")),
    Part("logging:Logger.callHandlers", "replaced: a run's log comes before handlers", ("self", "record")),
    Part(
        "logging:Logger.makeRecord",
        "replaced: an owner may have a record factory",
        ("self", "name", "level", "fn", "lno", "msg", "args", "exc_info", "func", "extra", "sinfo"),
    ),
    Part("logging:Manager._clear_cache", "replaced: owners keep such a cache too", ("self",)),
    Part("logging:_checkLevel", "called where Manager.disable is set", ("level",)),
    Part("logging:_handlerList", "replaced: dictConfig closes all handlers in it"),
    Part(
        "logging:_levelToName",
        "replaced once an owner adds a level: each sees its own; _nameToLevel likewise",
    ),
    Part("logging:addLevelName", "replaced, for that reason", ("level", "levelName")),
    Part("logging:setLoggerClass", "replaced: holds for its owner's own loggers", ("klass",)),
    Part("logging:Manager.getLogger", "replaced: finds these loggers", ("self", "name")),
    Part("logging:_handlers", "replaced: dictConfig clears it; each owner has its own"),
    Part("warnings:_add_filter", "replaced: a filter of an owner matches for that owner", ("item", "append")),
    Part("warnings:resetwarnings", "replaced: does not take the filters of others away", ()),
    Part("warnings:_showwarnmsg", "replaced: each owner is warned once", ("msg",)),
    Part("warnings:_showwarning_orig", "read: it is in force while catch_warnings() records"),
    Part("warnings:defaultaction", "assigned: else each warning would be shown once for all runs"),
    Part("warnings:_filters_mutated", "called: C code keeps what it has decided by the list", None),
    Part("logging:shutdown", "its default argument is replaced, which is that list", ("handlerList",)),
    Part("logging:setLogRecordFactory", "replaced: holds for its owner", ("factory",)),
    Part("logging:captureWarnings", "replaced: does nothing but for the hub", ("capture",)),
    Part("twisted.logger:globalLogPublisher.addObserver", "replaced on the instance", ("observer",)),
    Part("twisted.logger:globalLogPublisher._observers", "read: the observers of the hub's own log"),
    Part("twisted.logger:globalLogBeginner.beginLoggingTo", "replaced on the instance"),
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
    Part(
        "twisted.internet._resolver:GAIResolver.__init__",
        "made by daemon/dns.py: the only resolver of Twisted's that takes a thread pool",
        ("self", "reactor", "getThreadPool", "getaddrinfo"),
    ),
    Part("twisted.internet.defer:DebugInfo.__del__", "overridden: reports a lost error in its own context"),
    Part("twisted.internet.defer:DebugInfo", "replaced in its module, where Deferred looks it up"),
    Part(
        "sys:__class__",
        "assigned: only a class of the module sys can answer sys.stdout for each owner",
    ),
)
"""What the hub replaces, overrides or calls. The test checks each place and its parameters."""
