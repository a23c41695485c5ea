"""Settings that have no effect in the shared reactor."""

from __future__ import annotations

from collections.abc import Mapping

_DNS = "remove it, or run the project with isolate: process"

IGNORED_SETTINGS: Mapping[str, str] = {
    "MEMUSAGE_ENABLED": "use isolate: process for a memory limit",
    "MEMUSAGE_LIMIT_MB": "use isolate: process for a memory limit",
    "MEMUSAGE_WARNING_MB": "use isolate: process for a memory limit",
    "TELNETCONSOLE_ENABLED": "remove it",
    "REMOTE_CONTROL_ENABLED": "remove it",
    "TWISTED_REACTOR": "use the asyncio reactor, or isolate: process",
    "ASYNCIO_EVENT_LOOP": "remove it",
    "LOG_FILE": "read the log of each run from the hub",
    "DNS_RESOLVER": _DNS,
    "TWISTED_DNS_RESOLVER": _DNS,
    "DNSCACHE_ENABLED": _DNS,
    "DNSCACHE_SIZE": _DNS,
    "DNS_TIMEOUT": _DNS,
    "REACTOR_THREADPOOL_MAXSIZE": "all crawls share 32 threads",
}
"""Settings that have no effect in the shared reactor, each with what to do instead."""

AS_FORCED: Mapping[str, frozenset[object]] = {
    "MEMUSAGE_ENABLED": frozenset({False}),
    "MEMUSAGE_LIMIT_MB": frozenset({0}),
    "MEMUSAGE_WARNING_MB": frozenset({0}),
    "TELNETCONSOLE_ENABLED": frozenset({False}),
    "REMOTE_CONTROL_ENABLED": frozenset({False}),
    "TWISTED_REACTOR": frozenset({"twisted.internet.asyncioreactor.AsyncioSelectorReactor", None}),
    "ASYNCIO_EVENT_LOOP": frozenset({None}),
    "LOG_FILE": frozenset({None, ""}),
}
"""Values of these settings that say what the hub does anyway."""
