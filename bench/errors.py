"""What can go wrong with a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """The figures cannot be had, or would be wrong; the message says what to mend."""
