"""Time spans as people write them: ``90s``, ``15m``, ``2h``, ``1d``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta

_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_DURATION = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
_SECONDS = (86_400, 3_600, 60, 1)
_LONGEST = 36_500 * 86_400


def duration(text: str) -> timedelta:
    """Return the time span that ``text`` writes.

    :raises ValueError: with a sentence, if it is none, has no unit, or is not more than 0s.
    """
    if text.isdecimal():
        raise ValueError(f"write a unit after {text!r}: s, m, h or d, such as 90s or 15m")
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no time span; write it like 90s, 15m, 2h, 1d or 1h30m")
    parts = zip(match.groups(), _SECONDS, strict=True)
    seconds = sum(float(number) * unit for number, unit in parts if number)
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"must be more than 0s and at most 36500d, not {text!r}")
    return timedelta(seconds=seconds)
