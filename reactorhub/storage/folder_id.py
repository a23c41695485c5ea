"""The identity of a data folder: it tells the same hub, started again, from another hub of the same name."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from reactorhub.errors import StartError
from reactorhub.storage.layout import HUB_ID, LOCK


def folder_id(data_dir: Path) -> str:
    """Return the identity of a locked data folder. It is the same at each start of a hub on this folder.

    The file ``hub.id`` has a random part, so that folders on different machines differ. The inode of the lock
    is the other part, so that a copy of the folder differs from the original.

    :raises StartError: if the file cannot be read or written.
    """
    try:
        name = _written(data_dir / HUB_ID)
        return f"{name}-{(data_dir / LOCK).stat().st_ino:x}"
    except OSError as error:
        raise StartError(
            f"the data folder {data_dir} cannot be used ({error.strerror}):"
            " fix that, or choose another folder with --data-dir"
        ) from error


def _written(file: Path) -> str:
    """Return what the file says. Write it first if there is none, or if a crash left it empty."""
    try:
        text = file.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        text = ""
    if not text:
        text = uuid4().hex
        draft = file.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
            output.write(f"{text}\n")
        draft.replace(file)
    return text
