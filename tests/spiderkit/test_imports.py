"""What an import of the kit must not bring with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import reactorhub.spiderkit

FOLDER = Path(reactorhub.spiderkit.__file__).parent
MODULES = sorted(
    ".".join(("reactorhub", *path.relative_to(FOLDER.parent).with_suffix("").parts)).removesuffix(".__init__")
    for path in FOLDER.rglob("*.py")
    if path.name not in ("link.py", "http.py")
)


def after_import(modules: list[str]) -> set[str]:
    """Return the modules that a new Python has after importing these."""
    code = f"import sys; import {', '.join(modules)}; print('\\n'.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that come with the whole kit, apart from those that connect."""
    return after_import(MODULES)


def test_no_reactor_is_installed(loaded: set[str]) -> None:
    """Scrapy installs the reactor that its settings name: an import of the kit must leave that to it."""
    assert "reactorhub.spiderkit.connection.client" in loaded
    assert not loaded & {"twisted.internet.reactor", "txredisapi"}


def test_nothing_of_the_hub_comes_with_it(loaded: set[str]) -> None:
    """A project that uses the kit without a hub loads nothing else of it."""
    hub = {
        name
        for name in loaded
        if name.startswith("reactorhub.") and not name.startswith("reactorhub.spiderkit")
    }
    assert not hub


def test_public_names() -> None:
    """Each public name is what its module defines; another name is an error like that of any module."""
    for name in reactorhub.spiderkit.__all__:
        assert getattr(reactorhub.spiderkit, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        reactorhub.spiderkit.Nothing  # noqa: B018 - the access is the test
