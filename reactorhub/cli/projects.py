"""Imports Scrapy projects as the hub does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING

from reactorhub.containment.modules import tell_modules_apart
from reactorhub.engine.projects import ProjectConfig

if TYPE_CHECKING:
    from reactorhub.engine.scrapy.project import Project


def import_projects(projects: Mapping[str, ProjectConfig]) -> dict[str, Project]:
    """Import the spiders of each project. What a project prints while it is imported goes to stderr."""
    # Importing Scrapy takes half a second. A command that needs no spiders does without it.
    from reactorhub.engine.scrapy.environment import answer_for_each_project  # noqa: PLC0415
    from reactorhub.engine.scrapy.project import Project  # noqa: PLC0415

    with ExitStack() as stack, redirect_stdout(sys.stderr):
        stack.callback(tell_modules_apart())
        stack.callback(answer_for_each_project())
        return {name: Project(project) for name, project in projects.items()}
