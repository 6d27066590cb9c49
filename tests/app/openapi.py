"""What the API's document must tell, and how an answer is compared with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import jsonschema_rs

from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .service import TEXT, TRANSCRIPTIONS, Client, serving

TRANSLATIONS: Final = "/v1/audio/translations"
AUDIO: Final = {200, 400, 401, 404, 408, 413, 429, 500, 503}
SECRET: Final = {200, 400, 401, 404, 408, 429, 503}
SECRETS: Final = ("/realtime/client_secrets", "/realtime/transcription_sessions")
OPERATIONS: Final[dict[tuple[str, str], set[int]]] = {
    ("POST", TRANSCRIPTIONS): AUDIO,
    ("POST", TRANSCRIPTIONS.removeprefix("/v1")): AUDIO,
    ("POST", TRANSLATIONS): AUDIO,
    ("POST", TRANSLATIONS.removeprefix("/v1")): AUDIO,
    ("POST", "/transcribe"): AUDIO - {404},
    **{("POST", prefix + path): SECRET for prefix in ("/v1", "") for path in SECRETS},
    ("GET", "/v1/models"): {200, 401, 429, 503},
    ("GET", "/v1/models/{name}"): {200, 400, 401, 404, 429, 503},
    ("GET", "/healthz"): {200, 503},
    ("GET", "/readyz"): {200, 503},
    ("GET", "/debug/cfg"): {200, 401, 429, 503},
    **{("GET", f"/debug/{name}"): {200, 401, 429} for name in ("settings", "batches", "stacks")},
    ("GET", "/metrics"): {200, 401, 429},
}
Document = dict[str, Any]


@contextmanager
def described(*api_keys: str) -> Iterator[Client]:
    """The application; it fails on what is loud, cuts after a few seconds, and takes no more than a megabyte."""
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.samples.max() > 0.8)
    settings = Settings(max_upload_mb=1, single_pass_s=2, window_s=5, api_keys=api_keys)
    with serving(settings, recognizer=recognizer) as (client, _):
        yield client


def check_events(document: Document, answer: httpx.Response) -> None:
    """Every `data:` line against what is told of one event."""
    told = document["paths"][TRANSCRIPTIONS]["post"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
    event = jsonschema_rs.validator_for({**told, "components": document["components"]})
    for frame in answer.text.removesuffix("\n\n").split("\n\n"):
        event.validate(json.loads(frame.removeprefix("data: ")))
