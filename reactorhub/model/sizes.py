"""Amounts of memory as people write them: ``512MiB``, ``2GiB``, ``800MB``."""

from __future__ import annotations

import re

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,6}})?) ?({'|'.join(_UNITS)})")
PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})? ?([KMG]i?)?B$"
"""What a JSON Schema can say of a size."""

MIN_SIZE = 64 << 20
"""The least that a process needs to crawl at all, with some room."""

MAX_SIZE = 1 << 46


def size(text: str) -> int:
    """Return the number of bytes that ``text`` writes.

    :raises ValueError: with a sentence, if it is not a size, has no unit, or is less than a crawl needs.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write it like 512MiB or 2GiB")
    found = int(float(match[1]) * _UNITS[match[2]])
    if not MIN_SIZE <= found <= MAX_SIZE:
        raise ValueError(f"must be at least 64MiB, which a crawl needs, and at most 65536GiB, not {text!r}")
    return found
