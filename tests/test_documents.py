"""The documents against what they describe: settings, recipes, links, extras, and OpenAI's API."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from openai.types.audio import TranscriptionSegment
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsStreaming

from app.domain.errors import SpeechError
from app.entrypoints.errors import BAD_KEY, NOT_FOUND, row_of
from app.entrypoints.http.parameters import LONGEST_KEYWORD, MOST_KEYWORDS
from app.settings import fields, help_of, read_settings

ROOT: Final = Path(__file__).parents[1]
AUDIO: Final = "docs/openai-audio.md"
DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", AUDIO, "training/README.md")
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


def test_every_parameter_of_openai_s_client_is_told() -> None:
    section = (ROOT / AUDIO).read_text().partition("\n## Transcriptions\n")[2].partition("\n**")[0]
    told = re.findall(r"^\| `(\w+)(?:\[\])?` \|", section, re.MULTILINE)
    assert set(told) == set(TranscriptionCreateParamsStreaming.__annotations__)
    assert len(told) == len(set(told))


def test_every_field_of_a_segment_is_told() -> None:
    section = (ROOT / AUDIO).read_text().partition("\n**`segments`**")[2].partition("\n**")[0]
    told = [name for cell in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"\w+", cell)]
    assert sorted(told) == sorted(TranscriptionSegment.model_fields)


def test_limits_are_told_as_they_are() -> None:
    text = (ROOT / AUDIO).read_text()
    defaults = read_settings({})
    assert f"| keywords | {MOST_KEYWORDS}, each of {LONGEST_KEYWORD} characters |" in text
    assert f"`STT_MAX_UPLOAD_MB`, {defaults.max_upload_mb} MB" in text
    assert f"`STT_MAX_AUDIO_S`, {defaults.max_audio_s / 3600:g} h" in text
    assert f"`STT_MAX_WAITING_S`, {defaults.max_waiting_s / 3600:g} h" in text
    assert f"`STT_SINGLE_PASS_S` ({defaults.single_pass_s:g} s)" in text
    assert f"`STT_WINDOW_S` ({defaults.window_s:g} s)" in text
    assert f"({', '.join(f'`{alias}`' for alias in defaults.model_aliases)})" in text


@pytest.mark.parametrize("document", ["README.md", AUDIO])
def test_every_error_is_told_with_its_status(document: str) -> None:
    def all_of(kind: type[SpeechError]) -> Iterator[type[SpeechError]]:
        yield kind
        for special in kind.__subclasses__():
            yield from all_of(special)

    section = (ROOT / document).read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = {
        (int(status), code)
        for status, codes in re.findall(r"^\| (\d+) \| (.+?) \|", section, re.MULTILINE)
        for code in re.findall(r"\w+", codes)
    }
    rows = {(row.status, row.code) for row in (BAD_KEY, NOT_FOUND, *(row_of(kind.__new__(kind)) for kind in all_of(SpeechError)))}
    assert rows <= told


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
