"""``python -m reactorhub.engine.doctor``: the process that reads the code of projects for a hub.

Its standard input is one JSON object: ``folder``, where findings are kept, and ``projects``. It writes lines
of JSON: for each project its spiders, one a line, and then what concerns the project as a whole.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reactorhub.engine.doctor.kept import KeptDiagnoses
from reactorhub.engine.doctor.source import read_source
from reactorhub.engine.isolated.child.processes import signal_at_parents_death
from reactorhub.engine.projects import ProjectConfig
from reactorhub.errors import UnreadableProject
from reactorhub.wire.doctor import finding_view, spider_diagnosis_view


def main() -> None:
    """Read the order, write the answer."""
    signal_at_parents_death(signal.SIGKILL)
    os.nice(10)
    order = json.load(sys.stdin)
    kept = KeptDiagnoses(Path(order["folder"]))
    for each in order["projects"]:
        for line in said_of(each, kept):
            sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def said_of(project: Mapping[str, Any], kept: KeptDiagnoses) -> Iterator[dict[str, Any]]:
    """Return the lines about a project. The last one has its name as ``project``."""
    config = ProjectConfig(
        **{**project, "path": Path(project["path"]), "spider_modules": tuple(project["spider_modules"])}
    )
    try:
        diagnosis = kept.diagnosis(read_source(config))
    except UnreadableProject as error:
        yield {"project": config.name, "error": str(error)}
        return
    yield from ({"spider": spider_diagnosis_view(spider)} for spider in diagnosis.spiders)
    harm = diagnosis.harmful_import
    yield {
        "project": config.name,
        "findings": [finding_view(each) for each in diagnosis.findings],
        "harmful_import": harm and harm.place_and_reason,
    }


if __name__ == "__main__":
    main()
