"""Looks at a hub's data folder from outside: which hub uses it, and what its ledger says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reactorhub.config import HubConfig
from reactorhub.diagnosis.findings import DataFolderState
from reactorhub.policies.limit_overrides import read_overrides
from reactorhub.policies.limits import OVERRIDE, Limits
from reactorhub.storage.layout import LEDGER, READY
from reactorhub.storage.lock import DataLock
from reactorhub.storage.sqlite.reading import LedgerSnapshot, open_snapshot


def data_folder_state(data_dir: Path) -> DataFolderState:
    """Return whether a hub uses the folder, and which one.

    :raises StartError: if the folder cannot be read, or is a file.
    """
    holder = DataLock(data_dir).holder()
    facts = {}
    if holder is not None:
        try:
            facts = json.loads((data_dir / READY).read_text("utf-8"))
        except (OSError, ValueError):  # the hub is just starting or stopping, and the file is not there
            facts = {}
    return DataFolderState(
        folder=str(data_dir),
        running=holder is not None,
        pid=int(holder) if holder and holder.isdecimal() else None,
        http=facts.get("http"),
        written_at=_written_at(data_dir),
    )


def _written_at(data_dir: Path) -> datetime | None:
    files = (data_dir / LEDGER, data_dir / f"{LEDGER}-wal")
    times = [file.stat().st_mtime for file in files if file.exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


@contextmanager
def ledger(data_dir: Path) -> Iterator[LedgerSnapshot | None]:
    """Open the ledger of a data folder. Yields None if no hub has created a ledger there yet.

    :raises LedgerError: if the ledger cannot be read.
    """
    if not (data_dir / LEDGER).exists():
        yield None
        return
    with open_snapshot(data_dir / LEDGER) as found:
        yield found


def limits_of(config: HubConfig, found: LedgerSnapshot | None) -> Limits:
    """Return the limits of the file, overridden by those that an operator has set at run time."""
    overrides = read_overrides(None if found is None else found.overrides().get(OVERRIDE))
    return Limits(config.max_concurrent_runs, config.queues).overridden(overrides.values)
