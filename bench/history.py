"""What a long past costs: ledger calls, crawls, and crawls while what is too old is removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile

from bench.client import Client
from bench.contenders import CHECKOUT, Hub
from bench.errors import BenchError
from bench.figures import Growth, History
from bench.measure import Meter
from bench.past import make_past

FEW = 1_000
REPEATS = 50  # of each ledger call
WARM_UP = 5  # crawls
RETENTION = {"runs": "30d"}  # of the past's 365: there is enough to remove for as long as anybody measures


class WithPast(Hub):
    """The hub on a ledger that was made before it started."""

    title = "reactorhub with a past"

    def __init__(self, project: Path, folder: Path, ledger: Path, retention: dict[str, str]) -> None:
        """:param ledger: the file to start from; it is taken away."""
        super().__init__(project, folder, 16, retention=retention)
        self.data.mkdir()
        ledger.rename(self.data / "hub.db")

    def check(self) -> None:
        """Runs that have failed in the past are no failures of this bench."""

    def runs(self) -> int:
        """Return how many runs its ledger has."""
        with Client(self.base) as client:
            return int(client.get("/api/status")["ledger"]["runs"])


def measure(meter: Meter, project: Path, folder: Path, rows: int, crawls: int) -> History:
    """Return what a past of so many runs and ticks costs.

    :param crawls: how many there are of each hub, one after the other.
    :raises BenchError: if something did not work.
    """
    few, many, pruned = (folder / f"{name}.db" for name in ("few", "many", "pruned"))
    now = datetime.now(UTC)
    make_past(few, FEW, now)
    make_past(many, rows, now)
    copyfile(many, pruned)
    for file in (few, many, pruned):
        _settle(file)
    found = _calls(few, pruned)
    with ExitStack() as programs:
        hubs = {
            ledger.stem: programs.enter_context(WithPast(project, folder / ledger.stem, ledger, rules))
            for ledger, rules in ((few, {}), (many, {}), (pruned, RETENTION))
        }
        delays: dict[str, list[float]] = {name: [] for name in hubs}
        for hub in hubs.values():
            meter.load(hub, "one", WARM_UP)
        for _ in range(crawls):
            for name, hub in hubs.items():
                delays[name] += meter.delays(hub, 1)
        if not hubs["pruned"].runs() < rows <= hubs["many"].runs():
            raise BenchError("old rows were removed from the wrong ledger; look at hub.retention")
    return History(few=FEW, many=rows, delays=delays, **found)


def _settle(file: Path) -> None:
    """Have a file on the disk, so that writing it does not disturb what is measured later."""
    with file.open("rb") as disk:
        os.fsync(disk.fileno())


def _calls(few: Path, many: Path) -> dict[str, Sequence[Growth] | Sequence[float]]:
    command = [sys.executable, "-m", "bench.ledgers", str(few), str(many), str(REPEATS)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"bench.ledgers has failed. It said:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    calls = [Growth(name=name, few=both[0], many=both[1]) for name, both in found["calls"].items()]
    return {"calls": calls, "prune": found["prune"]}
