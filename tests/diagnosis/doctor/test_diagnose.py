"""The whole of it: which spiders there are, and how findings become a verdict."""

from __future__ import annotations

import pickle
from collections import Counter

from reactorhub.diagnosis.doctor.diagnose import diagnose
from reactorhub.diagnosis.doctor.extract import facts_of
from reactorhub.diagnosis.doctor.facts import Module
from reactorhub.model.doctor import ImportReport, ListedSpider, SourceFile, UnreadableModule
from reactorhub.wire.doctor import diagnoses_view
from tests.support.doctor_project import diagnosis, project, spider

SLOW = spider("def parse(self, response):\n    time.sleep(1)", "import time")


def listed(name: str, *bases: str) -> ListedSpider:
    """A spider as an import has found it."""
    return ListedSpider(name=name, bases=bases, file="shop/spiders/prices.py", line=3)


def test_a_spider_has_a_name_and_a_place() -> None:
    """A spider is a class that inherits from Spider and has a name, its own or a base class's."""
    text = """
        import scrapy

        class Base(scrapy.Spider):
            pass

        class Named(Base):
            name = "named"

        class Heir(Named):
            pass

        class Other:
            name = "other"
    """
    said = diagnosis({"spiders.all": text})
    assert [(each.name, each.file, each.line) for each in said.spiders] == [
        ("named", "shop/spiders/all.py", 7),
        ("named", "shop/spiders/all.py", 10),
    ]


def test_spiders_of_a_plain_folder() -> None:
    """Without settings the spiders are in the modules that are named, or in ``spiders``."""
    source = project({"spiders.prices": SLOW}, spider_modules=("shop.spiders",))
    said = diagnose(source)
    assert [(each.name, each.verdict) for each in said.spiders] == [("prices", "isolate")]


def test_spider_modules_that_settings_compute() -> None:
    """Where the text of SPIDER_MODULES says nothing, all modules of the project's package are looked at."""
    said = diagnosis({"spiders.prices": SLOW}, 'BOT = "shop"\nSPIDER_MODULES = [f"{BOT}.spiders"]')
    assert [(each.name, each.verdict) for each in said.spiders] == [("prices", "isolate")]


def test_the_import_knows_the_spiders() -> None:
    """Names and places are those of the import; a class that a factory made has its bases' findings."""
    report = ImportReport(
        spiders=(listed("made", "shop.spiders.prices:made", "shop.spiders.prices:Prices", "scrapy:Spider"),),
        broken=(),
    )
    said = diagnosis({"spiders.prices": SLOW}, imported=report)
    assert [(each.name, each.verdict, each.line) for each in said.spiders] == [("made", "isolate", 3)]


def test_a_spider_of_an_installed_package_is_taken_as_it_is() -> None:
    """Where there is no text, there is nothing to find."""
    report = ImportReport(spiders=(listed("far", "elsewhere:Far", "scrapy:Spider"),), broken=())
    (found,) = diagnosis({}, imported=report).spiders
    assert (found.verdict, found.findings) == ("shared", ())


def test_modules_that_cannot_be_read() -> None:
    """The import reports them if there was one, the text otherwise."""
    files = {"spiders.bad": "def (:\n", "spiders.prices": SLOW}
    (from_text,) = diagnosis(files).broken
    assert str(from_text) == (
        "shop/spiders/bad.py:1: module shop.spiders.bad cannot be imported: SyntaxError: invalid syntax"
    )
    broken = UnreadableModule(module="shop.spiders.worse", file="x.py", line=2, error="E: x")
    said = diagnosis(files, imported=ImportReport(spiders=(), broken=(broken,)))
    assert said.broken == (broken,)


def test_findings_are_in_the_order_of_their_lines() -> None:
    """Each finding once, by file and line."""
    text = spider(
        """
        def parse(self, response):
            os.chdir("/")
            time.sleep(1)

        def closed(self, reason):
            time.sleep(1)
        """,
        "import os, time",
    )
    (found,) = diagnosis({"spiders.prices": text}).spiders
    assert [each.line for each in found.findings] == sorted(each.line for each in found.findings)
    assert found.because == found.findings[0]


def test_what_concerns_all_is_not_repeated() -> None:
    """A finding about the settings stands once for the project, and decides for every spider."""
    said = diagnosis(
        {"spiders.a": spider("pass"), "spiders.b": spider("pass").replace("prices", "b")},
        "import os\nos.umask(0)",
    )
    assert [each.kind for each in said.findings] == ["umask"]
    assert [(each.verdict, each.findings, each.because) for each in said.spiders] == [
        ("isolate", (), said.findings[0])
    ] * 2


def test_each_file_is_read_once_and_only_if_it_matters() -> None:
    """Facts are asked for once a file, and so can be kept under its digest; scripts are left alone."""
    counted: Counter[str] = Counter()

    def counting(source: SourceFile) -> Module:
        counted[source.module] += 1
        return facts_of(source)

    base = "import scrapy\n\nclass Base(scrapy.Spider):\n    pass\n"
    heirs = {
        f"spiders.s{number}": spider("x = 1", "from shop.base import Base", "Base").replace(
            "prices", f"s{number}"
        )
        for number in range(20)
    }
    source = project({**heirs, "base": base, "scripts": "import time\ntime.sleep(1)\n"})
    assert len(diagnose(source, facts=counting).spiders) == 20
    assert set(counted.values()) == {1}
    assert "shop.scripts" not in counted and counted["shop.base"] == 1


def test_facts_that_were_kept_give_the_same() -> None:
    """What is known of a file by its digest stands in for the file, from the disk too."""
    source = project({"spiders.prices": SLOW})
    kept = {each.digest: pickle.loads(pickle.dumps(facts_of(each))) for each in source.files}
    assert diagnose(source, facts=lambda each: kept[each.digest]) == diagnose(source)


def test_the_view() -> None:
    """The shape for programs has spiders, what concerns projects, and what cannot be read."""
    view = diagnoses_view([diagnosis({"spiders.prices": SLOW, "spiders.bad": "def (:"}, "DNS_TIMEOUT = 1")])
    (found,) = view["spiders"]
    assert (found["name"], found["project"], found["verdict"]) == ("prices", "shop", "isolate")
    assert found["because"] == found["findings"][0]
    assert found["findings"][0].keys() == {"file", "line", "what", "remedy", "kind", "severity"}
    assert [(each["project"], each["kind"]) for each in view["project"]] == [("shop", "ignored-setting")]
    assert [each.keys() for each in view["broken"]] == [{"project", "module", "file", "line", "error"}]
