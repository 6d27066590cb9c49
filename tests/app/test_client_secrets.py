"""Short-lived secrets: minted with a key in both dialects, opening realtime sessions as they are preset, and nothing else."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from openai.types.beta.realtime import TranscriptionSession
from openai.types.realtime import ClientSecretCreateResponse

from app.settings import Settings

from .realtime import BETA, MANUAL, talking
from .service import Client, check_envelope, serving

KEY: Final = "sk-first"
BEARER: Final = {"authorization": f"Bearer {KEY}"}
SECRETS: Final = "/v1/realtime/client_secrets"
BETA_SECRETS: Final = "/v1/realtime/transcription_sessions"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as (client, _):
        yield client


@pytest.fixture(scope="module")
def locked() -> Iterator[Client]:
    with serving(Settings(api_keys=(KEY,))) as (client, _):
        yield client


def minted(client: Client, body: Any = None, *, path: str = SECRETS, headers: Any = BEARER) -> dict[str, Any]:
    answer = client.post(path, json={} if body is None else body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("path", [SECRETS, SECRETS.removeprefix("/v1")])
def test_a_secret_opens_a_session_with_its_preset_and_nothing_else(locked: Client, path: str) -> None:
    session = {"type": "transcription", **MANUAL}
    secret = minted(locked, {"session": session, "expires_after": {"anchor": "created_at", "seconds": 30}}, path=path)
    assert secret["value"].startswith("ek_")
    assert secret["session"]["object"] == "realtime.transcription_session"
    assert (secret["session"]["type"], secret["session"]["expires_at"]) == ("transcription", None)
    assert secret["session"]["audio"]["input"]["turn_detection"] is None
    bearer = {"authorization": f"Bearer {secret['value']}"}
    for offer in ({"headers": bearer}, {"subprotocols": ["realtime", f"openai-insecure-api-key.{secret['value']}"]}):
        with talking(locked, **offer) as talk:
            created = talk.next()["session"]
            assert created["audio"] == secret["session"]["audio"]
            assert created["id"] != secret["session"]["id"]
            assert talk.update({"audio": {"input": {"turn_detection": {}}}})["audio"]["input"]["turn_detection"] is not None
    for minting in (SECRETS, BETA_SECRETS):
        check_envelope(locked.post(minting, json={}, headers=bearer), 401, code="invalid_api_key")
    check_envelope(locked.get("/v1/models", headers=bearer), 401, code="invalid_api_key")


def test_the_beta_mints_secrets_in_its_own_form(locked: Client) -> None:
    for path in (BETA_SECRETS, BETA_SECRETS.removeprefix("/v1")):
        body = {
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": None,
            "modalities": ["text"],
            "client_secret": {"expires_at": {"seconds": 30}},
        }
        session = minted(locked, body, path=path)
        assert TranscriptionSession.model_validate(session).client_secret.value.startswith("ek_")
        assert (session["turn_detection"], session["input_audio_format"]) == (None, "pcm16")
        headers = {"authorization": f"Bearer {session['client_secret']['value']}", **BETA}
        with talking(locked, headers=headers) as talk:
            created = talk.next()
        assert created["type"] == "transcription_session.created"
        assert (created["session"]["turn_detection"], created["session"]["client_secret"]) == (None, None)


def test_a_body_may_be_left_out(locked: Client) -> None:
    for path in (SECRETS, BETA_SECRETS):
        assert locked.post(path, headers=BEARER).status_code == 200


@pytest.mark.parametrize("path", [SECRETS, BETA_SECRETS])
def test_a_secret_needs_a_key(locked: Client, path: str) -> None:
    check_envelope(locked.post(path, json={}), 401, code="invalid_api_key")


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (SECRETS, {"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
        (SECRETS, {"expires_after": {"seconds": 7_201}}, "invalid_value", "expires_after.seconds"),
        (SECRETS, {"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
        (SECRETS, {"expires_after": 60}, "invalid_value", "expires_after"),
        (SECRETS, {"session": {"type": "realtime"}}, "invalid_value", "session.type"),
        (SECRETS, {"session": {"voice": "x"}}, "unknown_parameter", "session.voice"),
        (SECRETS, {"session": 5}, "invalid_value", "session"),
        (SECRETS, {"sesion": {}}, "unknown_parameter", "sesion"),
        (SECRETS, [], "invalid_value", None),
        (BETA_SECRETS, {"client_secret": {"expires_at": {"seconds": 1}}}, "invalid_value", "client_secret.expires_at.seconds"),
        (BETA_SECRETS, {"client_secret": 5}, "invalid_value", "client_secret"),
        (BETA_SECRETS, {"turn_detection": {"threshold": 2}}, "invalid_value", "turn_detection.threshold"),
        (BETA_SECRETS, {"audio": {}}, "unknown_parameter", "audio"),
    ],
)
def test_a_wrong_request_for_a_secret_names_the_member(client: Client, path: str, body: Any, code: str, param: str | None) -> None:
    check_envelope(client.post(path, json=body), 400, code=code, param=param)


def test_a_secret_for_another_model_is_not_there(client: Client) -> None:
    body = {"session": {"audio": {"input": {"transcription": {"model": "canary"}}}}}
    param = "session.audio.input.transcription.model"
    check_envelope(client.post(SECRETS, json=body), 404, code="model_not_found", param=param)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b" " * 1_000_001])
def test_a_body_that_is_no_json_or_too_long_is_refused(client: Client, body: bytes) -> None:
    check_envelope(client.post(SECRETS, content=body), 400, code="invalid_value")


def test_without_keys_a_secret_is_not_needed_but_its_preset_holds(client: Client) -> None:
    secret = minted(client, {"session": MANUAL}, headers={})
    with talking(client, headers={"authorization": f"Bearer {secret['value']}"}) as talk:
        assert talk.next()["session"]["audio"]["input"]["turn_detection"] is None


def test_openai_s_client_knows_what_was_minted(client: Client) -> None:
    secret = minted(client, headers={})
    parsed = ClientSecretCreateResponse.model_validate(secret)
    assert type(parsed.session).__name__ == "RealtimeTranscriptionSessionCreateResponse"
