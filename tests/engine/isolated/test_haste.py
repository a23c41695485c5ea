"""What is done once before a fork leaves each crawl as it would be without."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from scrapy.downloadermiddlewares.useragent import UserAgentMiddleware
from scrapy.settings import Settings
from scrapy.utils import log, project, python
from scrapy.utils.deprecate import argument_is_required

from reactorhub.engine.isolated.child.private import haste


@pytest.fixture(autouse=True)
def _undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the preparation replaces."""
    for name in ("dictConfig", "get_versions"):
        monkeypatch.setattr(log, name, getattr(log, name))
    monkeypatch.setattr(python, "_signature", python._signature)
    monkeypatch.setattr(haste, "_spare", [])


def test_default_settings_are_handed_out_once() -> None:
    """The settings that were made before the fork are Scrapy's own, and no two crawls get the same."""
    haste.prepare()
    first, second = haste.default_settings(), haste.default_settings()
    assert first is not second
    assert first.copy_to_dict() == second.copy_to_dict() == Settings().copy_to_dict()


@pytest.mark.parametrize("cfg", [True, False])
def test_settings_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cfg: bool) -> None:
    """They are what Scrapy's own function returns, whether or not the folder has a scrapy.cfg."""
    name = f"hastily_{cfg}".lower()
    (tmp_path / f"{name}.py").write_text("BOT_NAME = 'quick'\nADDONS = {'no.addon': 7}\n")
    if cfg:
        (tmp_path / "scrapy.cfg").write_text(f"[settings]\ndefault = {name}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(
        os, "environ", {**os.environ, "SCRAPY_SETTINGS_MODULE": name, "SCRAPY_PROJECT": "default"}
    )
    haste.prepare()
    settings = haste.settings_of_project(str(tmp_path))
    assert settings["BOT_NAME"] == "quick"
    assert settings.copy_to_dict() == project.get_project_settings().copy_to_dict()
    assert project.Settings is Settings


def test_a_project_below_the_folder_of_its_scrapy_cfg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrapy puts the folder that has the scrapy.cfg on the path, and so it is."""
    (tmp_path / "below_settings.py").write_text("BOT_NAME = 'below'\n")
    (tmp_path / "scrapy.cfg").write_text("[settings]\ndefault = below_settings\n")
    folder = tmp_path / "below"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    monkeypatch.setattr(os, "environ", {**os.environ, "SCRAPY_SETTINGS_MODULE": "below_settings"})
    assert haste.settings_of_project(str(folder))["BOT_NAME"] == "below"
    assert sys.path[-1] == str(tmp_path)


def test_logging_is_set_up_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers forget the levels they had, once, however many of them are changed."""
    made = [logging.getLogger(f"scrapy.haste{number}") for number in range(5)]
    for logger in made:
        logger.setLevel(logging.ERROR)
        assert not logger.isEnabledFor(logging.DEBUG)
    clearings: list[None] = []
    clear = logging.Manager._clear_cache  # type: ignore[attr-defined]

    def counted(self: Any) -> None:
        clearings.append(None)
        clear(self)

    haste.prepare()
    monkeypatch.setattr(logging.Manager, "_clear_cache", counted)
    log.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "loggers": {"scrapy": {"level": "DEBUG"}}}
    )
    assert len(clearings) == 1
    assert all(logger.isEnabledFor(logging.DEBUG) for logger in made)


def test_logging_that_cannot_be_set_up() -> None:
    """Loggers forget their levels after that, too, and go on doing so."""
    haste.prepare()
    with pytest.raises(ValueError, match="version"):
        log.dictConfig({"version": 7})
    assert "_clear_cache" not in vars(logging.Logger.manager)


class OldMiddleware(UserAgentMiddleware):
    """A middleware as projects have it: one method of its own, the rest is Scrapy's."""

    def process_request(self, request: Any, spider: Any) -> None:  # type: ignore[override]
        """Do nothing."""


def test_signatures_of_scrapy_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How Scrapy's methods are called is known; how the project's are is looked up."""
    asked: list[Any] = []
    look_up = python._signature

    def counted(func: Any) -> Any:
        asked.append(func)
        return look_up(func)

    monkeypatch.setattr(python, "_signature", counted)
    haste.prepare([UserAgentMiddleware, "not a class"])
    before, own, old = len(asked), UserAgentMiddleware(), OldMiddleware()
    assert not argument_is_required(own.process_request, "spider")
    assert argument_is_required(own.process_request, "request")
    assert argument_is_required(own.from_crawler, "crawler")
    assert argument_is_required(old.from_crawler, "crawler")
    assert len(asked) == before
    assert argument_is_required(old.process_request, "spider")
    assert not argument_is_required(lambda request: None, "self")
    assert len(asked) == before + 2
