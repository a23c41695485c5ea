"""``python -m reactorhub`` is the command ``reactorhub``."""

from __future__ import annotations

from reactorhub.cli import main

if __name__ == "__main__":
    main(prog_name="reactorhub")
