"""Which settings module a project uses: by its scrapy.cfg, by the schedule file, by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactorhub.engine.projects import (
    ProjectConfig,
    SettingsChoice,
    settings_choice,
    settings_mistake,
    settings_module,
    with_environment,
)
from reactorhub.errors import UnreadableProject


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two entries in its scrapy.cfg."""
    (tmp_path / "scrapy.cfg").write_text("[settings]\ndefault = shop.settings\nstaging = shop.staging\n")
    (tmp_path / "shop").mkdir()
    for name in ("settings", "staging", "other"):
        (tmp_path / "shop" / f"{name}.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        (None, SettingsChoice("shop.settings")),
        ("staging", SettingsChoice("shop.staging", "staging")),
        ("default", SettingsChoice("shop.settings", "default")),
        ("shop.other", SettingsChoice("shop.other")),
        ("installed.settings", SettingsChoice("installed.settings")),
    ],
)
def test_the_choice(folder: Path, settings: str | None, choice: SettingsChoice) -> None:
    """An entry of scrapy.cfg goes before a module of that name."""
    config = ProjectConfig(name="shop", path=folder, settings=settings)
    assert settings_choice(config) == choice
    assert settings_module(config) == choice.module
    assert settings_mistake(config) is None


@pytest.mark.parametrize("settings", ["stagign", "shop.stagign"])
def test_a_name_that_is_nowhere(folder: Path, settings: str) -> None:
    """It is a mistake that lists what there is."""
    mistake = settings_mistake(ProjectConfig(name="shop", path=folder, settings=settings))
    assert mistake is not None and repr(settings) in mistake
    assert mistake.endswith("; it has default, staging")


def test_a_project_without_settings_and_spiders(tmp_path: Path) -> None:
    """What is missing is said: both, or the entry of a scrapy.cfg that has others."""
    config = ProjectConfig(name="shop", path=tmp_path)
    with pytest.raises(UnreadableProject, match=r"there is neither a scrapy.cfg nor a folder spiders in /"):
        settings_choice(config)
    (tmp_path / "scrapy.cfg").write_text("[settings]\nstaging = shop.staging\n")
    with pytest.raises(UnreadableProject, match=r"no entry default under .settings.; .* settings: staging"):
        settings_choice(config)
    (tmp_path / "spiders").mkdir()
    assert settings_choice(config) == SettingsChoice()


@pytest.mark.parametrize(
    ("environ", "settings", "warning"),
    [
        ({}, None, None),
        ({"SCRAPY_PROJECT": "staging"}, "staging", None),
        ({"SCRAPY_PROJECT": "default"}, None, None),
        ({"SCRAPY_PROJECT": "nowhere"}, None, "SCRAPY_PROJECT is 'nowhere', which is not an entry"),
        ({"SCRAPY_SETTINGS_MODULE": "shop.other", "SCRAPY_PROJECT": "staging"}, "shop.other", None),
        ({"SCRAPY_SETTINGS_MODULE": "press.settings"}, None, "SCRAPY_SETTINGS_MODULE is 'press.settings'"),
    ],
)
def test_scrapy_s_variables(
    folder: Path, environ: dict[str, str], settings: str | None, warning: str | None
) -> None:
    """They choose as for ``scrapy crawl``; one that names nothing in the project is warned of."""
    config = with_environment(ProjectConfig(name="shop", path=folder), environ)
    assert config.settings == settings
    assert len(config.warnings) == (warning is not None)
    assert warning is None or (warning in config.warnings[0] and "it is not heeded" in config.warnings[0])


def test_the_schedule_file_goes_before_variables(folder: Path) -> None:
    """What the file says of a project is not changed by the environment."""
    config = ProjectConfig(name="shop", path=folder, settings="default")
    assert with_environment(config, {"SCRAPY_PROJECT": "staging"}) is config
