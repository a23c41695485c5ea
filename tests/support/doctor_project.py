"""Projects for the doctor, made of texts; nothing is written to disk."""

from __future__ import annotations

from textwrap import dedent, indent

from reactorhub.diagnosis.doctor.diagnose import diagnose
from reactorhub.model.doctor import Diagnosis, Finding, ImportReport, ProjectSource, SourceFile

SPIDER = """
class Prices(scrapy.Spider):
    name = "prices"
"""


def project(files: dict[str, str], settings: str = "", spider_modules: tuple[str, ...] = ()) -> ProjectSource:
    """A project ``shop`` with these modules, named without their package."""
    texts = {
        "": "",
        "settings": f'SPIDER_MODULES = ["shop.spiders"]\n{dedent(settings)}',
        "spiders": "",
        **{name: dedent(text) for name, text in files.items()},
    }
    packages = {name for name in texts if any(each.startswith(f"{name}.") for each in texts)} | {
        "",
        "spiders",
    }
    sources = tuple(
        SourceFile(
            module=f"shop.{name}" if name else "shop",
            file=f"shop/{name.replace('.', '/')}{'/__init__' if name in packages else ''}.py".replace(
                "//", "/"
            ),
            code=text.encode(),
            is_package=name in packages,
        )
        for name, text in texts.items()
    )
    return ProjectSource(
        name="shop", files=sources, settings_module="shop.settings", spider_modules=spider_modules
    )


def diagnosis(files: dict[str, str], settings: str = "", imported: ImportReport | None = None) -> Diagnosis:
    """What the doctor says of a project with these modules."""
    return diagnose(project(files, settings), imported)


def spider(body: str, top: str = "", base: str = "scrapy.Spider") -> str:
    """A module with one spider: ``top`` at its beginning, ``body`` in its class."""
    return (
        f"import scrapy\n{dedent(top).strip()}\n\nclass Prices({base}):\n    name = 'prices'\n"
        f"{indent(dedent(body).strip(), '    ')}\n"
    )


def found(text: str, settings: str = "", **files: str) -> list[Finding]:
    """All findings about the module of one spider, and about its project."""
    said = diagnosis({"spiders.prices": text, **files}, settings)
    assert not said.broken, said.broken
    return [*said.findings, *(each for one in said.spiders for each in one.findings)]


def kinds(text: str, settings: str = "", **files: str) -> list[str]:
    """The kinds of what is found, in the order of lines."""
    return [each.kind for each in found(text, settings, **files)]
