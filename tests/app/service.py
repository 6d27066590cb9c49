"""The application with fakes behind its ports, in this process."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import numpy as np
from dependency_injector import providers
from litestar import Litestar
from litestar.testing import TestClient

from app.container import Container
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.ports import AudioNormalizer, Recognizer, VoiceDetector
from app.entrypoints.app import create_app
from app.settings import Settings
from app.testing.contracts_audio import wav_bytes
from app.testing.fakes import FakeNormalizer, FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer

PATIENCE_S: Final = 30.0
TEXT: Final = "Nobody else may read this."
TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
Client = TestClient[Litestar]


def make_container(
    settings: Settings,
    load: Callable[[], Recognizer],
    normalizer: AudioNormalizer | None = None,
    detector: VoiceDetector | None = None,
) -> Container:
    container = Container(settings=settings)
    container.detector.override(providers.Object(detector or FakeVoiceDetector()))
    container.normalizer.override(providers.Object(normalizer or FakeNormalizer()))
    container.recognizer.override(providers.ThreadSafeSingleton(load))
    return container


@contextmanager
def serving(
    settings: Settings | None = None,
    *,
    recognizer: Recognizer | None = None,
    normalizer: AudioNormalizer | None = None,
    detector: VoiceDetector | None = None,
) -> Iterator[tuple[Client, Container]]:
    """The application with its model loaded."""
    container = make_container(settings or Settings(), lambda: recognizer or FakeRecognizer(TEXT), normalizer, detector)
    with TestClient(create_app(container)) as client:
        container.engine().loaded.result(PATIENCE_S)
        yield client, container


def tone(duration_s: float) -> Samples:
    return np.full(round(duration_s * MODEL_RATE_HZ), 0.25, np.float32)


def wav(duration_s: float = 1.0) -> bytes:
    return wav_bytes(tone(duration_s), rate_hz=MODEL_RATE_HZ)


def send(
    client: Client,
    data: bytes | None = None,
    *,
    path: str = TRANSCRIPTIONS,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> httpx.Response:
    return client.post(path, files={"file": ("a.wav", wav() if data is None else data)}, data=fields, headers=headers)


class Bare(msgspec.Struct):
    """An answer as the server gets it, before anyone mends it; and whether the request's body was asked for before it."""

    status: int = 0
    headers: dict[bytes, bytes] = {}
    body: bytes = b""
    was_read: bool = False


def ask_bare(
    app: Litestar,
    method: str,
    path: str,
    headers: Mapping[bytes, bytes] | None = None,
    *,
    body: bytes = b"",
    peer: str = "127.0.0.1",
) -> Bare:
    """Ask as a server does on behalf of `peer`, an address; the application need not be running."""
    answer = Bare()

    async def receive() -> Any:
        answer.was_read = answer.was_read or not answer.status
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        answer.body += message.get("body", b"")

    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": list((headers or {}).items()),
        "client": (peer, 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return answer


def check_envelope(
    answer: httpx.Response, status: int, *, kind: str = "invalid_request_error", code: str, param: str | None = None
) -> str:
    """Compare all but the message, which is returned."""
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    message = error.pop("message")
    assert answer.json().keys() == {"error"}
    assert error == {"type": kind, "code": code, "param": param}
    assert isinstance(message, str)
    assert message
    return message


def left_in(folder: Path) -> list[str]:
    """Return the files there and what this process holds open of it, names that are gone included."""
    found = [str(path) for path in folder.iterdir()]
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # the one that listed the folder
    return [name for name in found if name.startswith(str(folder))]
