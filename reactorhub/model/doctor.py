"""What the doctor reads, a project's source files, and what it says of them: findings and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from reactorhub.model.values import View


class Severity(StrEnum):
    """What a finding means for the spiders it is about."""

    ISOLATE = "isolate"
    """Breaks a promise in the shared reactor; such a spider needs a process of its own."""

    ADVICE = "advice"
    """Worth a change, whichever way the spider runs."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something in the code, with its place and what to do about it.

    ``kind`` is a short name that stays the same, for programs. ``setting`` is the setting that brought the
    code in, if a setting did, since a spider may override it.
    """

    file: str
    line: int
    what: str
    remedy: str
    kind: str
    severity: Severity
    setting: str = field(default="", compare=False)
    at_import: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.place_and_reason}: {self.remedy}"

    @property
    def place_and_reason(self) -> str:
        """Where it is and what is wrong, without the remedy."""
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file of a project. ``module`` is its dotted name, ``file`` how its place is shown."""

    module: str
    file: str
    code: bytes
    is_package: bool = False

    @property
    def digest(self) -> str:
        """Changes with the content, the name and the place of the file."""
        return blake2b(b"\0".join((self.module.encode(), self.file.encode(), self.code))).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSpider:
    """A spider that an import has found. ``bases`` are its classes from itself up, as ``module:Class``."""

    name: str
    bases: tuple[str, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableModule:
    """A module that cannot be parsed or imported, the place to look at, and why."""

    module: str
    file: str
    line: int
    error: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: module {self.module} cannot be imported: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What importing a project in a process of its own has shown."""

    spiders: tuple[ListedSpider, ...]
    broken: tuple[UnreadableModule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSource:
    """A project's files and what names its spiders.

    Without ``spider_modules`` those that the settings module names hold the spiders. ``scrapy`` is the
    version that its Python has, such as ``(2, 19)``; None where it is not known.
    """

    name: str
    files: tuple[SourceFile, ...]
    settings_module: str | None = None
    spider_modules: tuple[str, ...] = ()
    scrapy: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderDiagnosis:
    """What is to be said of one spider. ``because`` is the finding that decided for a process of its own."""

    name: str
    project: str
    file: str
    line: int
    findings: tuple[Finding, ...]
    because: Finding | None

    @property
    def verdict(self) -> str:
        """``shared`` or ``isolate``."""
        return "isolate" if self.because else "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is to be said of a project: each spider, what concerns all of them, and what cannot be read."""

    project: str
    spiders: tuple[SpiderDiagnosis, ...]
    findings: tuple[Finding, ...]
    broken: tuple[UnreadableModule, ...]

    @property
    def isolated(self) -> tuple[SpiderDiagnosis, ...]:
        """The spiders that need a process of their own."""
        return tuple(spider for spider in self.spiders if spider.because)

    @property
    def harmful_import(self) -> Finding | None:
        """What forbids to import the project into the process of others, if anything does."""
        of_spiders = (each for spider in self.spiders for each in spider.findings)
        found = (*self.findings, *of_spiders)
        return next((each for each in found if each.at_import and each.severity is Severity.ISOLATE), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectReport:
    """What the doctor has said of a project, in views. ``error`` says why it could not say anything.

    ``harmful_import`` says what forbids to import the project into the process of others.
    """

    spiders: Mapping[str, View] = field(default_factory=dict)
    findings: Sequence[View] = ()
    harmful_import: str | None = None
    error: str | None = None

    def because(self, spider: str) -> str | None:
        """Return why this spider should have a process of its own; None if it can share one."""
        if self.error is not None:
            return f"the doctor cannot read the project: {self.error}"
        if spider not in self.spiders:
            return "the doctor does not find the spider in the code of the project"
        because = self.spiders[spider]["because"]
        return because and "{file}:{line}: {what}".format(**because)
