"""The documents against what they describe: settings, recipes, links, extras, and OpenAI's API."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest
from openai.types.audio import TranscriptionSegment
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsStreaming
from openai.types.realtime import RealtimeClientEvent

from app.domain.errors import InvalidRequestError, SpeechError
from app.domain.live_rules import LiveRules
from app.domain.pcm import Encoding
from app.entrypoints.cli.serve import MARGIN_S
from app.entrypoints.cli.settings import page
from app.entrypoints.cli.worker import STOP_S
from app.entrypoints.client_secrets import MOST_SECRETS
from app.entrypoints.errors import BAD_KEY, NOT_FOUND, row_of
from app.entrypoints.http.parameters import LONGEST_KEYWORD, MOST_KEYWORDS
from app.entrypoints.ledger import MOST_ACCOUNTS
from app.entrypoints.rates import RATE_HEADERS
from app.entrypoints.websocket import realtime_events
from app.entrypoints.websocket.plain_messages import Asked, read_choices
from app.entrypoints.websocket.realtime_reading import MOST_AUDIO_BYTES
from app.entrypoints.websocket.realtime_session import LONGEST_PROMPT, SILENCE_MS, Audio, AudioInput, SemanticVad, SessionConfig
from app.entrypoints.websocket.sockets import LARGEST_MESSAGE, SMALL_AT_ONCE, SMALL_BYTES, SMALL_PER_S
from app.setting_sources import CONFIG_FILE, PREFIX, read_settings
from app.settings import fields, help_of

ROOT: Final = Path(__file__).parents[1]
AUDIO: Final = "docs/openai-audio.md"
LIVE: Final = "docs/live.md"
REALTIME: Final = "docs/realtime.md"
OPERATIONS: Final = "docs/operations.md"
SECURITY: Final = "docs/security.md"
SETTINGS: Final = "docs/settings.md"
GUIDES: Final = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", *GUIDES, "training/README.md")
LINKS: Final = [
    pytest.param(document, target, id=f"{document} to {target}")
    for document in DOCUMENTS
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / document).read_text())
    if "://" not in target
]


def test_the_page_of_settings_is_the_one_made_of_the_code() -> None:
    assert (ROOT / SETTINGS).read_text() == page(), "run `just settings-page`"


def test_every_variable_that_the_readme_names_is_a_setting_with_that_default() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`STT_.+?`) \| (.+?) \|", section, re.MULTILINE)
    assert rows
    for cells in rows:
        names, told = (cell.split(", ") for cell in cells)
        for name, default in zip(names, told * len(names) if told == ["none"] else told, strict=True):
            field = fields()[name.strip("`").removeprefix("STT_").lower()]
            shown = {"none": "", "Parakeet": "nvidia/parakeet-tdt-0.6b-v2"}.get(default, default.strip("`"))
            assert getattr(read_settings({name.strip("`"): shown}), field.name) == field.default


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
    assert f"`STT_DECODE_MEMORY_MIB`, {defaults.decode_memory_mib} MiB" in text
    assert f"`STT_MAX_WAITING_S`, {defaults.max_waiting_s / 3600:g} h" in text
    assert f"`STT_MAX_WAIT_S`, {defaults.max_wait_s:g} s" in text
    assert f"`STT_MAX_REQUESTS`, {defaults.max_requests}" in text
    assert f"`STT_SINGLE_PASS_S` ({defaults.single_pass_s:g} s)" in text
    assert f"`STT_WINDOW_S` ({defaults.window_s:g} s)" in text
    assert f"({', '.join(f'`{alias}`' for alias in defaults.model_aliases)})" in text


def test_every_choice_of_a_live_client_is_told_with_its_default_and_its_limits() -> None:
    section = (ROOT / LIVE).read_text().partition("\n## Choices\n")[2].partition("\n## ")[0]
    told = {
        name: (default, allowed)
        for name, default, allowed in re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.+?) \|", section, re.MULTILINE)
    }
    assert list(told) == list(Asked.__struct_fields__)
    for field in msgspec.structs.fields(Asked):
        default, allowed = told[field.name]
        if isinstance(field.default, int | float):
            assert default.strip("`") == str(field.default).lower()
        limits = re.fullmatch(r"(\d+) to (\d+)", allowed)
        if limits:
            for within in limits.groups():
                read_choices({field.name: int(within)})
            for beyond in (int(limits[1]) - 1, int(limits[2]) + 1):
                with pytest.raises(
                    InvalidRequestError, match=f"`{field.name}` must be a whole number from {limits[1]} to {limits[2]}"
                ):
                    read_choices({field.name: beyond})
    assert f"at most {MOST_KEYWORDS}, of at most {LONGEST_KEYWORD} characters" in section
    assert re.findall(r"`(\w+)`", told["encoding"][1]) == list(get_args(Encoding))
    assert Asked().rate_hz == 16_000
    assert Asked(encoding="g711_alaw").rate_hz == 8_000


def test_the_limits_of_live_sessions_are_told_as_they_are() -> None:
    text = (ROOT / LIVE).read_text()
    defaults = read_settings({})
    assert f"`STT_LIVE_UTTERANCE_S` ({defaults.live_utterance_s:g} s)" in text
    assert f"`STT_LIVE_IDLE_S` ({defaults.live_idle_s:g} s)" in text
    assert f"`STT_LIVE_BACKLOG_S` ({defaults.live_backlog_s:g} s)" in text
    assert f"`STT_MAX_LIVE_SESSIONS` ({defaults.max_live_sessions})" in text
    assert f"every {LiveRules().partial_every_s} s at best" in text
    assert f"a message of more than {LARGEST_MESSAGE // 2**20} MiB" in text
    assert f"under {SMALL_BYTES} bytes {SMALL_PER_S} a second are read, after {SMALL_AT_ONCE:,} at once" in text


def table_of(document: str, section: str) -> list[list[str]]:
    """Return the cells of every row of a section's tables but their heads."""
    text = (ROOT / document).read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]


def test_every_event_of_a_realtime_client_and_of_the_service_is_told() -> None:
    sent = {name for cells in table_of(REALTIME, "What a client sends") for name in re.findall(r"`([a-z_]+\.[a-z_.]+)`", cells[0])}
    of_openai = {event.model_fields["type"].annotation for event in get_args(get_args(RealtimeClientEvent)[0])}
    assert sent == {get_args(kind)[0] for kind in of_openai} | {"transcription_session.update"}
    rows = table_of(REALTIME, "What the service sends")
    told = {name for cells in rows for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+|error)`", " ".join(cells[:2]))}
    assert told == {
        kind.__struct_config__.tag for kind in realtime_events.ServerEvent.__subclasses__() if kind.__subclasses__() == []
    } | {kind.__struct_config__.tag for kind in realtime_events.TranscriptEvent.__subclasses__()}


def test_every_member_of_a_realtime_session_is_told_with_its_default() -> None:
    def members(of: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, value in of.items():
            if isinstance(value, dict):
                yield from members(value, f"{path}{name}.")
            else:
                yield f"{path}{name}", value

    told = {cells[0].strip(" `"): cells[1].strip(" `") for cells in table_of(REALTIME, "The session")}
    configs = (SessionConfig(), SessionConfig(audio=Audio(input=AudioInput(turn_detection=SemanticVad()))))
    known = {name: value for config in reversed(configs) for name, value in members(msgspec.to_builtins(config), "")}
    known.pop("audio.input.noise_reduction")
    assert set(told) == set(known) | {f"audio.input.{name}" for name in ("transcription", "noise_reduction", "turn_detection")}
    for name, value in known.items():
        if name != "audio.input.transcription.model":
            assert told[name] == msgspec.json.encode(value).decode().strip('"'), name


def test_the_limits_of_realtime_are_told_as_they_are() -> None:
    text = (ROOT / REALTIME).read_text()
    defaults = read_settings({})
    assert f"`STT_REALTIME_SESSION_S` ({defaults.realtime_session_s:g} s)" in text
    assert f"`STT_LIVE_IDLE_S` ({defaults.live_idle_s:g} s)" in text
    assert f"at most {LONGEST_PROMPT} characters" in text
    assert f"at most {MOST_KEYWORDS}, of at most {LONGEST_KEYWORD} characters" in text
    assert f"at most {MOST_SECRETS:,} are valid" in text
    assert "is {low}, {medium}, {high} or {auto} ms".format(**SILENCE_MS) in text
    assert f"at most {MOST_AUDIO_BYTES // 2**20} MiB of sound" in text
    assert f"a message of more than {LARGEST_MESSAGE // 2**20} MiB" in text


def test_every_header_of_rates_is_told() -> None:
    told = [cells[0].strip(" `") for cells in table_of(SECURITY, "Rates")]
    assert told == list(RATE_HEADERS)
    assert f"{MOST_ACCOUNTS:,} at most" in (ROOT / SECURITY).read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_that_is_named_exists(document: str) -> None:
    named = set(re.findall(r"\bSTT_[A-Z_]*[A-Z]\b", (ROOT / document).read_text()))
    assert named <= {CONFIG_FILE, *(PREFIX + name.upper() for name in fields())}


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


def test_every_advisory_that_the_audit_passes_over_is_told_and_no_other() -> None:
    (passed_over,) = re.findall(r'^known_holes := "(.+)"', (ROOT / "justfile").read_text(), re.MULTILINE)
    rows = (ROOT / "SECURITY.md").read_text().partition("\n## Known holes that stay\n")[2].split("\n- ")[0]
    assert re.findall(r"CVE-\d+-\d+", rows) == passed_over.split()


@pytest.mark.parametrize(("document", "target"), LINKS)
def test_every_linked_file_exists(document: str, target: str) -> None:
    assert (ROOT / document).parent.joinpath(target).exists()


def project() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return read


def test_every_extra_that_is_named_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = {extra for listed in re.findall(r"(?:whl|parakeet-stt)\[([^\]]+)\]", text) for extra in listed.split(",")}
    named.update(re.findall(r"--extra ([\w-]+)", text))
    assert named == set(project()["optional-dependencies"])


def test_the_labels_of_the_container_say_what_the_project_says() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="(.*)"', (ROOT / "Containerfile").read_text()))
    of = project()
    assert [labels[name] for name in ("title", "description", "version", "licenses")] == [
        of[name] for name in ("name", "description", "version", "license")
    ]


def test_the_container_installs_and_lists_the_same_packages() -> None:
    asked = re.findall(r"uv (?:sync|export) .*", (ROOT / "Containerfile").read_text())
    assert len(asked) == 3
    assert all("--frozen --no-dev --all-extras --no-extra ray" in command for command in asked)


def test_the_limits_of_operations_are_told_as_they_are() -> None:
    text = (ROOT / OPERATIONS).read_text()
    for name in ("drain_s", "stuck_s", "stall_s", "connection_idle_s"):
        assert f"`STT_{name.upper()}` ({fields()[name].default:g} s)" in text
    assert f"plus {STOP_S + MARGIN_S} s" in text
    assert f"grant {STOP_S + MARGIN_S} more" in help_of(fields()["drain_s"])
