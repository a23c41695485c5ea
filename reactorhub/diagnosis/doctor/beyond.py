"""Calls and assignments whose effect reaches beyond the crawl, to all others in the process."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.diagnosis.doctor.kinds import Harm, table

_LOGGING = Harm(
    "logging",
    "sets up logging for the whole process",
    "leave it to the LOG_ settings of the project or the run",
)

_SIGNALS = Harm("signals", "takes a signal from the hub", "connect to Scrapy's spider_closed instead")

_LOOP = Harm("event-loop", "meddles with the event loop that all crawls share", "use await, or ensure_future")

_PROCESS = Harm(
    "own-process",
    "starts a Scrapy of its own inside this process",
    'put it under if __name__ == "__main__":, or give the spider a schedule',
)

_REACTOR = Harm(
    "reactor", "starts, stops or replaces the reactor of all crawls", "raise CloseSpider to end a crawl"
)

_QUITS = Harm(
    "process-exit", "would end the hub; here it raises an exception", "raise CloseSpider to end a crawl"
)

_FORKS = Harm("process-exit", "copies the whole hub", "use asyncio.create_subprocess_exec")

PROCESS_WIDE: Mapping[str, Harm] = table(
    (
        "logging.basicConfig logging.config.dictConfig logging.config.fileConfig logging.disable "
        "logging.captureWarnings logging.setLoggerClass logging.setLogRecordFactory logging.shutdown "
        "logging.getLogger.setLevel logging.getLogger.addHandler scrapy.utils.log.configure_logging "
        "coloredlogs.install",
        _LOGGING,
    ),
    ("signal.signal signal.alarm signal.setitimer signal.siginterrupt", _SIGNALS),
    (
        "os.chdir os.fchdir",
        Harm("working-folder", "changes the working folder of all crawls", "use absolute paths"),
    ),
    (
        "locale.setlocale",
        Harm("locale", "changes the locale of all crawls", "parse with the library babel or dateparser"),
    ),
    (
        "warnings.filterwarnings warnings.simplefilter warnings.resetwarnings",
        Harm(
            "warnings",
            "changes which warnings all crawls show",
            "use it within with warnings.catch_warnings():",
        ),
    ),
    (
        "resource.setrlimit",
        Harm("process-limits", "limits the whole process", "set memory_limit of the schedule"),
    ),
    ("os.umask", Harm("umask", "changes the access rights of all files written from now on", "use os.chmod")),
    (
        "socket.setdefaulttimeout socks.set_default_proxy socks.setdefaultproxy",
        Harm("sockets", "changes all sockets of the process", "set DOWNLOAD_TIMEOUT or the request's proxy"),
    ),
    ("time.tzset", Harm("locale", "changes the local time zone of all crawls", "use zoneinfo")),
    (
        "sys.exit builtins.exit builtins.quit",
        Harm("exit", "becomes an error of the run", "raise CloseSpider to end a crawl"),
    ),
    (
        "os._exit os.abort os.execv os.execve os.execl os.execvp signal.raise_signal _thread.interrupt_main",
        _QUITS,
    ),
    ("os.fork", _FORKS),
    ("os.kill os.killpg", _QUITS),
    (
        "random.seed numpy.random.seed",
        Harm(
            "random-seed", "seeds the random numbers of all crawls", "make a random.Random(seed) of its own"
        ),
    ),
    ("scrapy.crawler.CrawlerProcess scrapy.crawler.AsyncCrawlerProcess scrapy.cmdline.execute", _PROCESS),
    (
        "twisted.internet.reactor.run twisted.internet.reactor.stop twisted.internet.reactor.crash "
        "twisted.internet.asyncioreactor.install scrapy.utils.reactor.install_reactor crochet.setup "
        "gevent.monkey.patch_all",
        _REACTOR,
    ),
    (
        "asyncio.run asyncio.set_event_loop asyncio.set_event_loop_policy asyncio.run_until_complete "
        "asyncio.get_event_loop.run_until_complete asyncio.get_event_loop.run_forever "
        "asyncio.get_event_loop.stop asyncio.get_event_loop.close asyncio.get_running_loop.stop "
        "asyncio.get_running_loop.close asyncio.new_event_loop.run_until_complete nest_asyncio.apply "
        "uvloop.install",
        _LOOP,
    ),
    (
        "os.putenv os.environ.update os.environ.setdefault os.environ.pop os.environ.clear",
        Harm(
            "environment",
            "holds for its own run or project, and for code in C of all crawls",
            "use settings or spider arguments",
        ),
    ),
)
"""Calls whose effect reaches beyond the crawl. An object is written without the ``()`` that made it."""

HIDDEN_WARNINGS = Harm(
    "warnings-hidden", "hides warnings of all crawls", "use it within with warnings.catch_warnings():"
)

LOGGER_LEVEL = Harm(
    "logger-level", "changes this logger for all crawls", "set LOG_LEVEL for the project or the run"
)

_STREAMS = Harm(
    "streams", "replaces a stream of the whole process", "use contextlib.redirect_stdout for a while"
)

PATCHES: Mapping[str, Harm] = {
    "sys.stdout": _STREAMS,
    "sys.stderr": _STREAMS,
    "socket.socket": Harm("sockets", "changes all sockets of the process", "set the request's proxy"),
    "socket.create_connection": Harm(
        "sockets", "changes all sockets of the process", "set the request's proxy"
    ),
    "socket.getaddrinfo": Harm("sockets", "changes all look-ups of the process", "set the request's proxy"),
    "ssl._create_default_https_context": Harm(
        "certificates",
        "changes how all crawls that use Python's own HTTPS check certificates",
        "leave it out: Scrapy does not check them",
    ),
    "os.environ[]": Harm(
        "environment",
        "holds for its own run or project, and for code in C of all crawls",
        "use settings or spider arguments",
    ),
}
"""Attributes of other people's modules that all crawls depend on."""

PATCHED_LIBRARIES = (
    *("scrapy.", "twisted.", "asyncio.", "parsel.", "w3lib.", "itemadapter.", "itemloaders.", "lxml."),
    *("builtins.", "json.", "http.client.", "urllib.", "urllib3.", "requests.", "ssl.", "time.", "datetime."),
)

PATCH = Harm("patch", "changes a library under all crawls", "write a subclass and name it in the settings")
