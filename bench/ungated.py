"""Runs ``twistd`` with a gate that is always open, to measure what turns for runs are worth.

``python -m bench.ungated ARGUMENTS`` is ``twistd ARGUMENTS``.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import sys

from twisted.scripts.twistd import run

from reactorhub.containment.gate import FairGate


def main() -> None:
    """Let every callback through, then do what twistd does."""
    FairGate.count = lambda gate: None  # type: ignore[method-assign]
    sys.argv[0] = "twistd"
    run()


if __name__ == "__main__":
    main()
