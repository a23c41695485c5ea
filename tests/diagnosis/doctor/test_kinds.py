"""The kinds of findings: each is documented with its verdict, each call in the tables has a known one."""

from __future__ import annotations

import re
from pathlib import Path

from reactorhub.diagnosis.doctor import beyond, blocking, imports
from reactorhub.diagnosis.doctor.ignored import IGNORED_SETTINGS
from reactorhub.diagnosis.doctor.kinds import SEVERITIES
from reactorhub.engine.scrapy.project import FORCED

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"


def test_the_page_lists_every_kind_with_its_verdict() -> None:
    """The table of docs/doctor.md says what the code does."""
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \| (isolate|advice) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {kind: severity.value for kind, severity in SEVERITIES.items()}


def test_every_call_has_a_known_kind() -> None:
    """No table names a kind that nobody has weighed."""
    tables = (blocking.BLOCKING, beyond.PROCESS_WIDE, beyond.PATCHES, imports.STALE)
    used = {harm.kind for table in tables for harm in table.values()}
    assert used <= SEVERITIES.keys()


def test_settings_that_the_hub_forces_are_listed() -> None:
    """Whatever the engine overrides is in the doctor's list."""
    assert FORCED.keys() <= IGNORED_SETTINGS.keys()
