"""Asks a hub the same question again and again, from a process of its own, and notes how long answers take.

``python -m bench.probe BASE PATH`` says so once it was answered for the first time. It stops when its
standard input ends, and prints a JSON list: for each question the wall-clock second and the seconds it took.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from bench.client import Client
from bench.errors import BenchError
from bench.programs import Program

PAUSE = 0.01  # seconds between an answer and the next question
READY = "asking"
CHECKOUT = Path(__file__).parent.parent

Answer = tuple[float, float]


class Probe(Program):
    """The process, and what it has found."""

    def __init__(self, base: str, path: str, folder: Path) -> None:
        command = [sys.executable, "-m", "bench.probe", base, path]
        super().__init__(command, folder, {"PYTHONPATH": str(CHECKOUT)})

    def ready(self) -> None:
        """Wait for its first answer."""
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != READY:
            raise BenchError(f"the probe got no answer. It said:\n{self.last_words()}")

    def answers(self) -> list[Answer]:
        """Let it stop; return what it has found.

        :raises BenchError: if the hub has failed to answer.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        found = self.process.stdout.read()
        if not found:
            raise BenchError(f"the probe has failed. It said:\n{self.last_words()}")
        return [(float(when), float(seconds)) for when, seconds in json.loads(found)]


def _wait_for_the_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def main(base: str, path: str) -> None:
    """Ask until there is nobody left who listens."""
    over = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(over,), daemon=True).start()
    found: list[Answer] = []
    with Client(base) as client:
        client.get(path)
        print(READY, flush=True)
        while not over.wait(PAUSE):
            when, start = time.time(), time.monotonic()
            client.get(path)
            found.append((when, time.monotonic() - start))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
