"""Who may open a WebSocket, and by which name the log calls whoever came in."""

import hashlib
from collections.abc import Iterator
from time import time
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from app.entrypoints.client_secrets import ClientSecrets
from app.entrypoints.keys import Key, Keys
from app.entrypoints.rates import Rates
from app.entrypoints.websocket.closes import RefusedError
from app.entrypoints.websocket.entrance import Entrance
from app.entrypoints.websocket.realtime_session import SessionConfig
from app.settings import Settings

from .live import talk, wait_until
from .realtime import talking
from .service import Client, send, serving

SECRET: Final = "sk-hashed"  # noqa: S105
ALICE: Final = Key("alice", hashlib.sha256(SECRET.encode()).digest())
BEARER: Final = {"authorization": f"Bearer {SECRET}"}


@pytest.fixture(scope="module")
def locked() -> Iterator[Client]:
    with serving(Settings(api_keys=("sk-plain", ALICE.entry))) as (client, _):
        yield client


def make_entrance(keys: Keys, *, requests_per_minute: int = 0, origins: tuple[str, ...] = ()) -> Entrance:
    return Entrance(keys, Rates(requests_per_minute=requests_per_minute, audio_s_per_minute=0, now_s=lambda: 0.0), origins)


def scope_of(**headers: str) -> Any:
    found = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "websocket", "headers": found, "query_string": b"", "subprotocols": [], "client": ("203.0.113.1", 1)}


# Keys by name


def test_the_log_names_the_key_of_a_request_and_never_shows_it(locked: Client) -> None:
    with capture_logs() as logs:
        assert send(locked, headers=BEARER).status_code == 200
        assert send(locked, headers={"authorization": "Bearer sk-plain"}).status_code == 200
        assert send(locked).status_code == 401
        assert locked.get("/healthz", headers=BEARER).status_code == 200
    names = [event.get("key") for event in logs if event["event"] == "request_finished"]
    assert names == ["alice", "env-1", None, "alice"]
    assert not [secret for secret in (SECRET, "sk-plain", ALICE.digest.hex()) if secret in str(logs)]


def test_the_log_names_the_key_of_a_live_session(locked: Client) -> None:
    with capture_logs() as logs:
        assert talk(locked, [], query=f"api_key={SECRET}").code == 1000
        with talking(locked, headers=BEARER) as realtime:
            realtime.next()
        wait_until(lambda: len([event for event in logs if event["event"] == "live_session_finished"]) == 2)
    assert [event["key"] for event in logs if event["event"] == "live_session_finished"] == ["alice", "alice"]
    assert SECRET not in str(logs)


# Client secrets


def test_what_a_client_secret_opens_is_counted_for_the_key_that_minted_it(locked: Client) -> None:
    minted = locked.post("/v1/realtime/client_secrets", json={}, headers=BEARER).json()["value"]
    with capture_logs() as logs:
        with talking(locked, headers={"authorization": f"Bearer {minted}"}) as realtime:
            realtime.next()
        wait_until(lambda: bool([event for event in logs if event["event"] == "live_session_finished"]))
    assert [event["key"] for event in logs if event["event"] == "live_session_finished"] == ["alice"]
    assert minted not in str(logs)


def test_a_client_secret_shares_the_rate_of_its_key() -> None:
    with serving(Settings(api_keys=(ALICE.entry, "sk-plain"), requests_per_minute=2)) as (client, _):
        minted = client.post("/v1/realtime/client_secrets", json={}, headers=BEARER).json()["value"]
        bearer = {"authorization": f"Bearer {minted}"}
        with talking(client, headers=bearer) as realtime:
            assert realtime.next()["type"] == "session.created"
        with talking(client, headers=bearer) as again:
            assert again.end() == ("rate_limit_exceeded", 1013, "rate_limit_error.rate_limit_exceeded")
        assert client.get("/v1/models", headers=BEARER).status_code == 429
        assert client.get("/v1/models", headers={"authorization": "Bearer sk-plain"}).status_code == 200


def test_a_client_secret_opens_as_long_as_the_key_that_minted_it() -> None:
    keys = Keys(with_file=True)
    keys.replace_file_keys((ALICE,))
    secrets = ClientSecrets(time)
    minted = secrets.mint(SessionConfig(), lifetime_s=60, owner="alice").value
    entrance, scope = make_entrance(keys), scope_of(authorization=f"Bearer {minted}")
    entrance.admit(scope, secrets=secrets)
    with pytest.raises(RefusedError):
        entrance.admit(scope)  # of another door
    keys.replace_file_keys(())
    with pytest.raises(RefusedError):
        entrance.admit(scope, secrets=secrets)


# Origins


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        ("http://stt.example", "stt.example", True),
        ("https://stt.example", "STT.example", True),
        ("https://stt.example", "stt.example:443", True),  # some proxies write the port that browsers leave out
        ("http://stt.example", "stt.example:80", True),
        ("https://stt.example", "stt.example:80", False),
        ("https://stt.example:8443", "stt.example:8443", True),
        ("https://stt.example:8443", "stt.example", False),
        ("https://stt.example", "stt.example:8443", False),
        ("https://stt.example", "other.example", False),
        ("https://stt.example.evil.example", "stt.example", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("null", "stt.example", False),
        ("null", "", False),
        ("https://app.example", "stt.example", True),  # it is in the settings
        ("https://APP.example", "stt.example", True),
        ("http://app.example", "stt.example", False),
        ("https://app.example:8443", "stt.example", False),
    ],
)
def test_pages_come_in_from_the_service_s_own_origin_and_from_those_that_were_set(origin: str, host: str, may: bool) -> None:
    entrance = make_entrance(Keys(), origins=("https://app.example",))
    scope = scope_of(origin=origin, host=host)
    if may:
        entrance.admit(scope)
    else:
        with pytest.raises(RefusedError, match="origin"):
            entrance.admit(scope)


def test_a_page_of_a_foreign_origin_cannot_try_keys() -> None:
    entrance = make_entrance(Keys([ALICE.entry]))
    with pytest.raises(RefusedError, match="origin"):
        entrance.admit(scope_of(origin="https://evil.example", host="stt.example", authorization=f"Bearer {SECRET}"))
