"""The names of the files in the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

LEDGER = "hub.db"
"""The ledger."""

LOCK = "lock"
"""The lock of the hub that uses the folder."""

HUB_ID = "hub.id"
"""The random part of the folder's identity, by which hubs that share a Redis tell each other apart."""

READY = "ready.json"
"""The addresses of a running hub. The file exists only while the hub listens."""

DOCTOR = "doctor"
"""The folder with what the doctor has found, one file for each project. It may be removed at any time."""

_MAX_NAME = 200  # bytes; file systems allow 255 for one name


def folder_name(name: str) -> str:
    """Return ``name`` as one harmless path segment. Characters that are not harmless are percent-encoded."""
    if not name:
        return "%"
    encoded = quote(name, safe=" ", errors="surrogatepass")[:_MAX_NAME]
    return encoded.replace(".", "%2E") if encoded.strip(".") == "" else encoded


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The layout of the data folder, as the contract promises it."""

    data_dir: Path

    def log(self, project: str, spider: str, run_id: str) -> Path:
        """The file with the log records of this run."""
        return self._file("logs", project, spider, f"{run_id}.log")

    def items(self, project: str, spider: str, run_id: str) -> Path:
        """The JSON Lines file with the items of this run, unless its project sets FEEDS."""
        return self._file("items", project, spider, f"{run_id}.jsonl")

    def _file(self, kind: str, project: str, spider: str, name: str) -> Path:
        return self.data_dir / kind / folder_name(project) / folder_name(spider) / name
