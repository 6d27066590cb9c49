"""What every answer tells browsers, whoever gave it: a page, a controller, a door."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from app.entrypoints.app import create_app
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .service import TRANSCRIPTIONS, Client, ask_bare, make_container, send, serving

PAGE: Final = "https://app.example"
KEY: Final = {"authorization": "Bearer sk"}
ASKED: Final = [
    ("GET", "/", {}, 200), ("GET", "/page/page.css", {}, 200), ("GET", "/docs", KEY, 200), ("GET", "/docs/openapi.json", KEY, 200),
    ("GET", "/healthz", {}, 200), ("HEAD", "/healthz", {}, 200), ("GET", "/metrics", KEY, 200), ("GET", "/v1/models", KEY, 200),
    ("GET", "/v1/models", {}, 401), ("GET", "/nothing", KEY, 404), ("DELETE", "/v1/models", KEY, 405),
    ("POST", TRANSCRIPTIONS, KEY, 400), ("OPTIONS", "/v1/models", {"origin": PAGE, "access-control-request-method": "GET"}, 204),
]  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(Settings(api_keys=("sk",), cors_origins=(PAGE,))) as (client, _):
        yield client


def check_guarded(answer: httpx.Response) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [loose for loose in ("*", "unsafe", "http:", "https:") if loose in policy]
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(("method", "path", "headers", "status"), ASKED)
def test_every_answer_forbids_frames_guesses_and_what_it_does_not_need(
    client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    check_guarded(answer)


def test_a_transcript_and_a_stream_of_one_are_guarded_too(client: Client) -> None:
    asked: list[dict[str, Any]] = [{}, {"stream": "true"}, {"response_format": "vtt"}]
    for fields in asked:
        answer = send(client, headers=KEY, **fields)
        assert answer.status_code == 200
        check_guarded(answer)


@pytest.mark.parametrize(("hsts_s", "expected"), [(86_400, b"max-age=86400"), (0, None)])
def test_browsers_are_told_to_keep_to_https_where_the_service_speaks_it(hsts_s: int, expected: bytes | None) -> None:
    with_tls = Settings(tls_cert="cert.pem", tls_key="key.pem", hsts_s=hsts_s)
    for settings, told in ((with_tls, expected), (Settings(hsts_s=hsts_s), None)):
        app = create_app(make_container(settings, FakeRecognizer))
        assert ask_bare(app, "GET", "/nothing").headers.get(b"strict-transport-security") == told
