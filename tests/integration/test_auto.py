"""With ``isolate: auto`` the doctor decides, when code is loaded, which runs have a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from tests.integration.hubs import Hub, until

CONFIG = """
    hub:
      projects:
        lab: {path: lab, spider_modules: [calm, hasty], isolate: auto}
        ward: {path: ward, spider_modules: [rough], isolate: auto}
        yard: {path: yard, spider_modules: [tidy]}
    schedules:
      calm: {spider: calm, project: lab}
      hasty: {spider: hasty, project: lab, memory_limit: 256MiB}
      chosen: {spider: tidy, project: yard, isolate: auto}
"""
PROJECT_OF = {"calm": "lab", "hasty": "lab", "rough": "ward", "tidy": "yard"}
CALM = """
    import os
    import scrapy

    class Calm(scrapy.Spider):
        name = "calm"

        async def start(self):
            yield {"pid": os.getpid()}
"""
HASTY = """
    import os, time
    import scrapy

    class Hasty(scrapy.Spider):
        name = "hasty"

        async def start(self):
            time.sleep(0.01)
            yield {"pid": os.getpid()}
"""
ROUGH = """
    import os, signal
    import scrapy
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    class Rough(scrapy.Spider):
        name = "rough"

        async def start(self):
            yield {"pid": os.getpid()}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with two projects that leave it to the doctor, one of them with a harmful import."""
    hub = Hub(tmp_path_factory.mktemp("auto"), CONFIG)
    modules = {
        "calm": CALM,
        "hasty": HASTY,
        "rough": ROUGH,
        "tidy": CALM.replace("alm", "idy").replace("cidy", "tidy"),
    }
    for name, text in modules.items():
        folder = hub.folder / PROJECT_OF[name]
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(dedent(text))
    with hub:
        yield hub


def triggered(hub: Hub, schedule: str) -> dict[str, Any]:
    """Run a schedule; return the view of its run when it is final."""
    status, run = hub.post(f"/api/schedules/{schedule}/trigger")
    assert status in (200, 201), run
    return hub.wait_final(run["id"])


def test_each_spider_runs_where_the_doctor_says(hub: Hub) -> None:
    """A spider that blocks has a process of its own, and its run says why; its neighbour has none."""
    hasty, calm = triggered(hub, "hasty"), triggered(hub, "calm")
    assert (hasty["isolated"], hasty["memory_limit"]) == (True, 256 << 20)
    assert hasty["isolated_because"] == "lab/hasty.py:9: time.sleep() blocks every crawl until it returns"
    assert hub.items(hasty["id"]) == [{"pid": hasty["pid"]}]
    assert (calm["isolated"], calm["isolated_because"], calm["pid"]) == (False, None, None)
    assert hub.items(calm["id"]) == [{"pid": hub.pid}]


def test_an_import_that_harms_is_not_made(hub: Hub) -> None:
    """A project whose import takes a signal is left to processes of its own as a whole."""
    run = hub.wait_final(hub.order("rough", project="ward"))
    assert run["isolated_because"] == "ward/rough.py:4: signal.signal() takes a signal from the hub"
    assert "cannot be imported" not in hub.said


def test_an_order_may_leave_it_to_the_doctor(hub: Hub) -> None:
    """What nobody has asked about is isolated until the doctor has read it, and then runs where it says."""
    assert triggered(hub, "chosen")["isolated"] is False
    assert hub.wait_final(hub.order("hasty", isolate="none"))["isolated"] is False
    assert hub.wait_final(hub.order("hasty", isolate="auto"))["isolated"] is True


def test_spiders_carry_the_findings(hub: Hub) -> None:
    """The list of spiders has the verdict and the findings of ``reactorhub doctor --json``."""
    spiders = {each["name"]: each for each in hub.get("/api/spiders")[1]["spiders"]}
    assert {name: each["verdict"] for name, each in spiders.items()} == {
        "calm": "shared",
        "hasty": "isolate",
        "rough": "isolate",
        "tidy": "shared",
    }
    (finding,) = spiders["hasty"]["findings"]
    assert finding == spiders["hasty"]["because"]
    assert (finding["kind"], finding["line"]) == ("blocks", 9)
    assert spiders["calm"]["findings"] == []


def test_a_reload_reads_changed_files(hub: Hub) -> None:
    """After a reload the verdict is that of the code as it is now."""
    file = hub.folder / "lab/hasty.py"
    before = file.read_text()
    file.write_text(before.replace("time.sleep(0.01)", "pass"))
    assert hub.post("/api/reload")[0] == 200
    assert hub.wait_final(hub.order("hasty", project="lab"))["isolated"] is False
    file.write_text(before)
    hub.post("/api/reload")


def test_findings_outlive_the_hub_and_a_damaged_file_is_made_anew(hub: Hub) -> None:
    """What the doctor has read is kept; a file that is damaged costs reading again."""
    kept = sorted((hub.data / "doctor").iterdir())
    assert [each.name for each in kept] == ["lab", "ward", "yard"]
    for each in kept:
        each.write_bytes(b"\x80\x05garbage")
    with (hub.folder / "lab/hasty.py").open("a") as file:
        file.write("# changed\n")
    assert hub.post("/api/reload")[0] == 200
    until(lambda: kept[0].read_bytes() != b"\x80\x05garbage", 10, "a new file")
    assert triggered(hub, "hasty")["isolated_because"].startswith("lab/hasty.py:9: ")
