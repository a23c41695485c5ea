"""From a project's files to what is to be said of each of its spiders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from reactorhub.diagnosis.doctor.calls import call_findings
from reactorhub.diagnosis.doctor.extract import facts_of
from reactorhub.diagnosis.doctor.facts import Module
from reactorhub.diagnosis.doctor.program import ClassRef, Program
from reactorhub.diagnosis.doctor.reach import Code, Reach, Reached
from reactorhub.diagnosis.doctor.settings import (
    Settings,
    components,
    custom_settings,
    ignored,
    settings_of,
    spider_modules,
)
from reactorhub.diagnosis.doctor.spiders import middleware_findings, spiders_in, start_findings
from reactorhub.diagnosis.doctor.state import State, default_findings, import_findings, setting_findings
from reactorhub.model.doctor import (
    Diagnosis,
    Finding,
    ImportReport,
    ListedSpider,
    ProjectSource,
    Severity,
    SourceFile,
    SpiderDiagnosis,
    UnreadableModule,
)

DEFAULT_MODULES = ("spiders",)
"""Where the spiders are if nothing says so."""


def diagnose(
    source: ProjectSource,
    imported: ImportReport | None = None,
    facts: Callable[[SourceFile], Module] = facts_of,
) -> Diagnosis:
    """Return what is to be said of a project.

    :param imported: what an import has found; it knows spiders that no text shows, and modules that fail.
    :param facts: how a file becomes facts. They depend on nothing but the file, so that they can be kept
        under its ``digest``.
    """
    return _Doctor(source, imported, facts).diagnosis()


@dataclass(slots=True)
class _Listed:
    """A spider, its class where the text shows one, and its place."""

    name: str
    ref: ClassRef | None
    file: str
    line: int
    bases: tuple[ClassRef, ...] = field(default=())


class _Doctor:
    def __init__(
        self, source: ProjectSource, imported: ImportReport | None, facts: Callable[[SourceFile], Module]
    ) -> None:
        self._source = source
        self._imported = imported
        self._program = Program(source.files, facts, source.scrapy)
        self._reach = Reach(self._program)
        self._settings = settings_of(self._program, source.settings_module)
        self._calls: dict[tuple[str, str, str], tuple[Finding, ...]] = {}
        self._at_import: dict[str, tuple[Finding, ...]] = {}
        self._components: dict[str, tuple[Finding, ...]] = {}

    def diagnosis(self) -> Diagnosis:
        own = self._unique(self._project_findings())
        spiders = [self._spider(listed, own) for listed in sorted(self._listed(), key=lambda each: each.name)]
        return Diagnosis(
            project=self._source.name,
            spiders=tuple(spiders),
            findings=tuple(own),
            broken=tuple(sorted(self._broken(), key=lambda each: (each.file, each.line))),
        )

    # -- which spiders there are

    def _listed(self) -> list[_Listed]:
        if self._imported is not None:
            return [self._from_import(spider) for spider in self._imported.spiders]
        return [
            _Listed(name, ref, ref.module.file, ref.facts.line)
            for module in self._spider_modules()
            for name, ref in spiders_in(self._program, module)
        ]

    def _from_import(self, spider: ListedSpider) -> _Listed:
        refs = [ref for ref in map(self._class, spider.bases) if ref is not None]
        return _Listed(spider.name, refs[0] if refs else None, spider.file, spider.line)

    def _class(self, key: str) -> ClassRef | None:
        module_name, _, name = key.partition(":")
        module = self._program.module(module_name)
        return self._program.class_ref(module, name) if module and name in module.classes else None

    def _spider_modules(self) -> list[str]:
        package = (self._source.settings_module or "").partition(".")[0]
        unknown = (package,) if package else DEFAULT_MODULES
        tops = self._source.spider_modules or spider_modules(self._settings) or unknown
        return list(dict.fromkeys(name for top in tops for name in self._program.below(top)))

    def _broken(self) -> Iterator[UnreadableModule]:
        if self._imported is not None:
            yield from self._imported.broken
            return
        for name in self._spider_modules():
            module = self._program.module(name)
            if module is not None and module.error:
                yield UnreadableModule(
                    module=name, file=module.file, line=module.line_of_error, error=module.error
                )

    # -- what concerns all spiders

    def _project_findings(self) -> Iterator[Finding]:
        name = self._source.settings_module
        if name:
            yield from self._import_of(name)
        yield from ignored(self._settings)
        for key, (module, value) in self._settings.items():
            if key != "LOG_FILE":
                yield from setting_findings(self._program, module, key, value)
        yield from self._component_findings(self._settings)

    def _component_findings(self, settings: Settings) -> Iterator[Finding]:
        for setting, ref in components(self._program, settings):
            if ref.key not in self._components:
                self._components[ref.key] = tuple(self._component(ref))
            yield from (replace(each, setting=setting) for each in self._components[ref.key])

    def _component(self, ref: ClassRef) -> Iterator[Finding]:
        yield from self._code_findings(ref, self._reach.component(ref), is_spider=False)
        yield from middleware_findings(self._program, ref)

    # -- one spider

    def _spider(self, listed: _Listed, project: list[Finding]) -> SpiderDiagnosis:
        found = self._unique(self._spider_findings(listed.ref)) if listed.ref else []
        overridden = custom_settings(self._program, listed.ref) if listed.ref else {}
        concerned = [each for each in project if each.setting not in overridden]
        found = [each for each in found if each not in concerned]
        graves = [each for each in (*found, *concerned) if each.severity is Severity.ISOLATE]
        return SpiderDiagnosis(
            name=listed.name,
            project=self._source.name,
            file=listed.file,
            line=listed.line,
            findings=tuple(found),
            because=graves[0] if graves else None,
        )

    def _spider_findings(self, ref: ClassRef) -> Iterator[Finding]:
        yield from start_findings(self._program, ref)
        yield from self._code_findings(ref, self._reach.spider(ref), is_spider=True)
        settings = custom_settings(self._program, ref)
        yield from ignored(settings)
        yield from self._component_findings(settings)

    def _code_findings(self, ref: ClassRef, reached: Reached, *, is_spider: bool) -> Iterator[Finding]:
        yield from self._import_of(ref.module.name)
        for code in reached.values():
            yield from self._in_calls(code)
            yield from default_findings(code)
        yield from State(self._program, is_spider=is_spider).findings(reached)
        yield from import_findings(self._program, ref, reached, self._program.closure(ref.module.name))

    def _in_calls(self, code: Code) -> tuple[Finding, ...]:
        if code.key not in self._calls:
            self._calls[code.key] = tuple(call_findings(self._program, code, at_import=False))
        return self._calls[code.key]

    def _import_of(self, name: str) -> Iterator[Finding]:
        """What an import of this module does, and of all modules of the project that it imports."""
        for each in sorted(self._program.closure(name)):
            if each not in self._at_import:
                module = self._program.module(each)
                reached = self._reach.imported(module) if module else {}
                self._at_import[each] = tuple(
                    found
                    for code in reached.values()
                    for found in call_findings(self._program, code, at_import=True)
                )
            yield from self._at_import[each]

    def _unique(self, findings: Iterable[Finding]) -> list[Finding]:
        """In the order of files and lines, each once."""
        return sorted(dict.fromkeys(findings))
