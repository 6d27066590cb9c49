"""The documents against what they describe: settings, recipes, links and extras."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from app.settings import fields, help_of, read_settings

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "training/README.md")
LINKS: Final = [
    pytest.param(document, target, id=f"{document} to {target}")
    for document in DOCUMENTS
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / document).read_text())
    if "://" not in target
]


def settings_rows() -> dict[str, tuple[str, str]]:
    """Return name -> (default, meaning) from the README's table of settings."""
    section = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    return {
        name: (default, meaning)
        for name, default, meaning in re.findall(r"^\| `(\w+)` \| `(.+?)` \| (.+) \|$", section, re.MULTILINE)
    }


def test_the_readme_names_every_setting_in_order() -> None:
    assert list(settings_rows()) == list(fields())


@pytest.mark.parametrize("name", fields())
def test_the_readme_tells_a_setting_as_the_code_does(name: str) -> None:
    default, meaning = settings_rows()[name]
    assert getattr(read_settings({f"STT_{name.upper()}": default}), name) == fields()[name].default
    assert meaning == help_of(fields()[name])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_recipe_that_is_named_exists(document: str) -> None:
    recipes = set(re.findall(r"^([a-z][\w-]*)[^:=\n]*:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:uv run |`)just ([a-z][\w-]*)", (ROOT / document).read_text()))
    assert named <= recipes


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_every_linked_file_exists(document: str, target: str) -> None:
    assert (ROOT / document).parent.joinpath(target).exists()


@pytest.mark.parametrize("path", ["README.md", "Containerfile"])
def test_every_extra_that_is_named_exists(path: str) -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    text = (ROOT / path).read_text()
    named = {extra for listed in re.findall(r"(?:whl|parakeet-stt)\[([^\]]+)\]", text) for extra in listed.split(",")}
    named.update(re.findall(r"--extra ([\w-]+)", text))
    assert named == extras


def test_both_stages_of_the_container_install_the_same() -> None:
    installed = re.findall(r"uv sync .*", (ROOT / "Containerfile").read_text())
    assert len(installed) == 2
    assert re.findall(r"--extra \S+", installed[0]) == re.findall(r"--extra \S+", installed[1])
