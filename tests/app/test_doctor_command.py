"""`parakeet-stt doctor` and `models`, on this machine as it is."""

import json
import re
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from typing import Any, Final

import pytest
import structlog

from app.entrypoints.cli import checks_machine, checks_parts
from app.entrypoints.cli.findings import Finding
from app.entrypoints.cli.main import main
from app.settings import Settings
from bench.service import free_port

TOPICS: Final = {
    "settings", "python", "packages", "device", "model", "cache", "decoding", "voice detection", "landlock", "cores", "memory",
    "open files", "uploads", "port", "microphone",
}  # fmt: skip


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The log and the limit of open files are this process's."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    structlog.reset_defaults()


def only(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Finding:
    (found,) = check(settings)
    return found


def test_all_that_the_service_needs_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["doctor", "--model", "bundled", "--port", str(port), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    states: dict[str, Any] = {finding["topic"]: finding["state"] for finding in told["findings"]}
    assert states.keys() == TOPICS
    assert told["failure"] == 0
    assert all(finding["fix"] for finding in told["findings"] if finding["state"] != "ok")
    needed = ("settings", "packages", "device", "model", "decoding", "voice detection", "port")
    assert [states[topic] for topic in needed] == ["ok"] * len(needed)


def test_what_is_wrong_is_told_with_what_to_do_and_the_rest_is_looked_at_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_PRT", "1")
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "failure  settings         STT_PRT: no such setting; did you mean STT_PORT?\n" in told
    assert "failure  voice detection  cannot be tried: " in told
    assert "-> pip install 'parakeet-stt[" in told
    assert "ok       decoding         FFmpeg " in told
    assert re.search(r"^failures: [2-9], warnings: [1-9]$", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("model", "/no/such.nemo", "there is no model file at /no/such.nemo"),
        ("recognizer", "nowhere:make", "STT_RECOGNIZER=nowhere:make cannot be imported"),
    ],
)
def test_a_model_that_cannot_be_had_is_a_failure(flag: str, value: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", f"--{flag}", value]) == 1
    assert told in capsys.readouterr().out
    found = next(checks_parts.model(Settings(**{flag: value})))  # type: ignore[arg-type]
    assert (found.state, told in found.told) == ("failure", True)


def test_of_replicas_ray_is_needed_here_and_neither_a_model_nor_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def version_without_ray(name: str) -> str:
        if name == "ray":
            raise PackageNotFoundError(name)
        return "1"

    settings = Settings(replicas=2, model="/no/such.nemo", device="cuda:99")
    assert list(checks_parts.device(settings)) == []
    assert (only(checks_parts.model, settings).state, "replicas status" in only(checks_parts.model, settings).told) == ("ok", True)
    monkeypatch.setattr(checks_parts, "version", version_without_ray)
    *_, found = checks_parts.packages(settings)
    assert (found.state, found.told, "server,ray]" in found.fix) == ("failure", "not installed: ray", True)
    assert all(other.state == "ok" for other in checks_parts.packages(Settings()))


def test_models_tells_the_configured_one_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--model", "bundled", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["models"][0]
    assert (first["model"], first["place"], first["configured"]) == ("bundled", "package", True)
    assert main(["models", "--model", "acme/tiny@main#" + "0" * 64]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("*  acme/tiny@main#")
    assert lines[1].endswith("not here yet: the first start downloads it")
    assert any(line.split()[:2] == ["bundled", "package"] for line in lines[2:])


def test_models_say_what_they_need(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["models", "--model", "bundled"]) == 1
    assert "pip install 'parakeet-stt[nemo," in capsys.readouterr().err


def test_a_port_that_is_taken_may_be_this_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = only(checks_machine.port, Settings(port=other.getsockname()[1]))
    assert (found.state, "somebody listens" in found.told) == ("warning", True)
    assert only(checks_machine.port, Settings(host="192.0.2.1")).state == "failure"  # an address for documents, RFC 5737


def test_what_a_container_withholds_is_told() -> None:
    found = checks_machine.of_cores(4, 0.5)
    assert (found.state, "OMP_NUM_THREADS=1" in found.fix) == ("warning", True)
    assert checks_machine.of_cores(4, None).state == checks_machine.of_cores(4, 4.0).state == "ok"
    little = {"machine_bytes": 32_000_000_000, "granted_bytes": 2_000_000_000}
    assert checks_machine.of_memory(Settings(model="bundled"), **little).told == "2.0 GB granted by the container"
    assert checks_machine.of_memory(Settings(), **little).state == "warning"
    assert checks_machine.of_memory(Settings(), machine_bytes=32_000_000_000, granted_bytes=None).told == "32.0 GB"


def test_a_limit_of_open_files_that_is_too_low_is_told() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = only(checks_machine.open_files, Settings(max_connections=65_536))
    assert found.state == ("ok" if hard == resource.RLIM_INFINITY or hard >= 200_000 else "warning")
    assert only(checks_machine.open_files, Settings(max_connections=1)).state == "ok"


def test_uploads_without_room_are_told() -> None:
    free_mb = shutil.disk_usage(tempfile.gettempdir()).free // 1_000_000
    assert only(checks_machine.uploads, Settings(max_upload_mb=1)).state == "ok"
    most_mb = 65_536
    found = only(checks_machine.uploads, Settings(max_upload_mb=most_mb))
    assert found.state == ("warning" if free_mb < most_mb else "ok")
