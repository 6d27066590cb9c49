"""OpenAI's client for Node against the running service: one script asks, and what it got is what plain HTTP gets."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.domain.audio import MODEL_RATE_HZ
from tests.answers import about
from tests.recordings import concatenated, encode, recordings
from tests.service import Service

_FOLDER: Final = Path(__file__).parent / "node"
_PATIENCE_S: Final = 300  # the package has 35 MB, which npm downloads once
SPEECH: Final = encode(
    concatenated(recordings()[:2], gap_s=1.0), container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=1
)
STRATEGY: Final = {"type": "server_vad", "silence_duration_ms": 300, "threshold": 0.4}


@pytest.fixture(scope="module")
def script() -> Iterator[Path]:
    """The script beside the installed package; neither node nor npm writes into the repository."""
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(missing)} not found: OpenAI's client for Node cannot be tried here")
    with tempfile.TemporaryDirectory() as name:
        folder = shutil.copytree(_FOLDER, Path(name) / "node", ignore=shutil.ignore_patterns("node_modules"))
        run(["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        yield folder / "ask.mjs"


@pytest.fixture(scope="module")
def told(script: Path, service: Service) -> Any:
    """What the client made of our answers."""
    speech, rubbish = script.with_name("speech.wav"), script.with_name("rubbish.wav")
    speech.write_bytes(SPEECH)
    rubbish.write_bytes(b"This is no audio.")
    return json.loads(run(["node", script.name, service.url, speech.name, rubbish.name], script.parent))


def run(command: list[str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def plain(client: httpx.Client, *, path: str = "transcriptions", **fields: Any) -> httpx.Response:
    """What a form without any client gets; `x__` stands for the field `x[]`."""
    named = {name.replace("__", "[]"): value for name, value in fields.items()}
    answer = client.post(f"/v1/audio/{path}", files={"file": ("speech.wav", SPEECH)}, data=named)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_read_stream_is_sent_without_a_length_and_heard(told: Any, client: httpx.Client) -> None:
    first, in_memory, *others = told["uploads"]
    assert {headers.get("transfer-encoding") for headers in (first, *others)} == {"chunked"}
    assert not any("content-length" in headers for headers in (first, *others))
    assert "transfer-encoding" not in in_memory
    assert told["json"] == about(plain(client, chunking_strategy=json.dumps(STRATEGY)).json())


def test_a_file_in_memory_is_heard(told: Any, client: httpx.Client) -> None:
    assert told["file"] == plain(client).json()


@pytest.mark.parametrize("answer_format", ["text", "srt"])
def test_bare_text_is_a_string(told: Any, client: httpx.Client, answer_format: str) -> None:
    assert told[answer_format] == plain(client, response_format=answer_format).text


def test_verbose_json_has_every_time(told: Any, client: httpx.Client) -> None:
    body = told["verbose_json"]
    whole = plain(client, response_format="verbose_json", timestamp_granularities__=["word", "segment"]).json()
    assert body == about(whole)
    assert body["words"]
    assert body["segments"]


def test_log_probabilities_are_told(told: Any, client: httpx.Client) -> None:
    assert told["logprobs"]["logprobs"]
    assert told["logprobs"] == about(plain(client, include__="logprobs").json())


def test_events_joined_are_the_text_as_it_is_without_streaming(told: Any) -> None:
    *deltas, done = told["events"]
    assert len(deltas) > 1
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == told["json"]["text"]


def test_a_translation_is_the_transcription(told: Any, client: httpx.Client) -> None:
    assert told["translation"] == {"text": plain(client).json()["text"]}


def test_models_are_listed(told: Any, client: httpx.Client) -> None:
    assert told["models"] == [model["id"] for model in client.get("/v1/models").json()["data"]]


@pytest.mark.parametrize(
    ("asked", "kind", "code", "param"),
    [
        ("no_audio", "BadRequestError", "invalid_value", "file"),
        ("no_format", "BadRequestError", "unsupported_value", "response_format"),
        ("no_model", "NotFoundError", "model_not_found", "model"),
    ],
)
def test_errors_are_of_their_class(told: Any, asked: str, kind: str, code: str, param: str) -> None:
    refused = told[asked]
    assert (refused["kind"], refused["type"]) == (kind, "invalid_request_error")
    assert (refused["code"], refused["param"], refused["hasRequestId"]) == (code, param, True)
    assert refused["message"].startswith(f"{refused['status']} ")
