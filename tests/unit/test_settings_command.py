"""`parakeet-stt settings`: what is in force, and what is made of the settings' description."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest

from app.entrypoints.cli.main import main
from app.entrypoints.cli.settings import example, schema
from app.setting_sources import CONFIG_FILE, PREFIX, read_settings
from app.settings import Settings, fields, help_of, range_of

REPOSITORY: Final = Path(__file__).parents[2]
HEAVY: Final = ("torch", "nemo", "litestar", "granian", "numpy", "structlog", "rich", "prometheus_client", "opentelemetry")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in fields():
        monkeypatch.delenv(PREFIX + field.upper(), raising=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["settings", *arguments]) == 0
    return capsys.readouterr().out


def test_each_setting_in_force_is_shown_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "stt.toml"
    file.write_text('window_s = 9\nhost = "from-file"\n')
    monkeypatch.setenv(CONFIG_FILE, str(file))
    monkeypatch.setenv("STT_HOST", "::1")
    told = shown(capsys, "--port", "8011")
    found = dict(re.findall(r"^(\w+) = .*?  # (.+)$", told, re.MULTILINE))
    assert list(found) == [name for name in fields() if name != "api_keys"]
    assert {name: source for name, source in found.items() if source != "default"} == {
        "host": "STT_HOST", "port": "--port", "window_s": f"window_s in {file}",
    }  # fmt: skip
    values = tomllib.loads(told)
    assert (values["host"], values["port"], values["window_s"], values["model_aliases"]) == (
        "::1", 8011, 9.0, list(Settings().model_aliases),
    )  # fmt: skip


def test_keys_are_counted_and_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_API_KEYS", "hush,hush-too")
    told = shown(capsys)
    assert re.search(r"^#api_keys: 2 hidden +# STT_API_KEYS$", told, re.MULTILINE)
    assert "hush" not in told


def test_all_faults_are_told_and_nothing_else(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_PORT", "0")
    assert main(["settings", "--window-s", "1"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "STT_PORT: " in told.err
    assert "--window-s: " in told.err


def test_the_example_is_the_defaults_before_and_after_its_lines_are_uncommented(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "stt.toml"
    file.write_text(shown(capsys, "--example"))
    assert tomllib.loads(file.read_text()) == {}
    uncommented = re.sub(r"^#(?=\w)", "", file.read_text(), flags=re.MULTILINE)
    assert list(tomllib.loads(uncommented)) == list(fields())
    file.write_text(uncommented)
    assert read_settings({CONFIG_FILE: str(file)}) == Settings()
    assert all(help_of(field) in uncommented for field in fields().values())


def test_the_schema_takes_what_the_settings_take_and_refuses_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    described = json.loads(shown(capsys, "--schema"))
    jsonschema_rs.meta.validate(described)
    schema_of_file = jsonschema_rs.validator_for(described)
    assert set(described["properties"]) == set(fields())
    assert described["properties"]["api_keys"]["writeOnly"] is True
    assert schema_of_file.is_valid(tomllib.loads(re.sub(r"^#(?=\w)", "", example(), flags=re.MULTILINE)))
    good: dict[str, Any] = {"port": 1, "device": "cuda:1", "api_keys": ["sk-1"], "log_level": "debug", "max_audio_s": 0.5}
    assert schema_of_file.is_valid(good)
    for wrong in ({"port": 0}, {"prot": 1}, {"device": "gpu"}, {"api_keys": ["a b"]}, {"log_level": "loud"}, {"max_audio_s": 0}):
        assert not schema_of_file.is_valid(wrong), wrong


def test_the_schema_has_no_pattern_of_python_s_alone() -> None:
    assert r"\Z" not in schema()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("port", "1 to 65,535"), ("max_audio_s", "over 0 to 604,800"), ("max_waiting_s", "at least 1"), ("max_wait_s", "over 0"),
        ("log_level", "`debug`, `info`, `warning`, `error`"), ("host", ""),
    ],
)  # fmt: skip
def test_a_range_is_told_in_words(name: str, told: str) -> None:
    assert range_of(fields()[name]) == told


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["serve", "--help"], ["listen", "--help"], ["settings"], ["settings", "--schema"], ["serve", "--port=0"]],
)
def test_nothing_heavy_is_imported_before_the_arguments_are_checked(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom app.entrypoints.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env={})
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_ends_before_all_is_read_is_no_reason_for_a_traceback() -> None:
    command = [sys.executable, "-m", "app", "settings"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}) as started:
        assert started.stdout
        assert started.stderr
        started.stdout.close()
        assert started.wait(30) == 1
        assert started.stderr.read() == b""
