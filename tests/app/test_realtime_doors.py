"""Who may open `/v1/realtime`, when there is no place, how a session ends, and that nothing of it is left."""

import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from litestar.testing import TestClient
from structlog.testing import capture_logs

from app.entrypoints.app import create_app
from app.entrypoints.client_secrets import PREFIX
from app.entrypoints.websocket.sockets import LARGEST_MESSAGE
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .live import numbers_of, wait_until
from .realtime import ITEM, MANUAL, PATH, SAMPLES_16K, TRANSCRIPT, said, talking
from .service import PATIENCE_S, TEXT, Client, make_container, serving, tone

KEY: Final = "sk-first"
BEARER: Final = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving() as (client, _):
        yield client


@pytest.fixture(scope="module")
def locked() -> Iterator[Client]:
    with serving(Settings(api_keys=(KEY, "sk-second"))) as (client, _):
        yield client


@pytest.mark.parametrize("path", ["/v1/realtime", "/realtime", "/v1/realtime/"])
@pytest.mark.parametrize(
    "query",
    ["", "intent=transcription", "model=whisper-1", "intent=transcription&model=fake", "model=", "model=gpt-realtime", "voice=x"],
)
def test_every_way_to_ask_for_a_session_opens_one(client: Client, path: str, query: str) -> None:
    with talking(client, f"{path}?{query}") as talk:
        model = talk.next()["session"]["audio"]["input"]["transcription"]["model"]
    assert talk.types == ["session.created"]
    assert model == ("whisper-1" if "whisper" in query else "fake")


def test_another_model_is_told_and_closed(client: Client) -> None:
    with talking(client, f"{PATH}&model=canary") as talk:
        assert talk.end() == ("invalid_model", 4000, "invalid_request_error.invalid_model")
    assert talk.told[-1]["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["realtime"], "realtime"),
        (["realtime", f"openai-insecure-api-key.{KEY}"], "realtime"),
        ([f"openai-insecure-api-key.{KEY}", "realtime", "openai-beta.realtime-v1"], "realtime"),
        (["openai-beta.realtime-v1"], None),
    ],
)
def test_the_subprotocol_is_chosen_only_if_offered(client: Client, offered: list[str], chosen: str | None) -> None:
    """As the server must send it: Litestar's test client keeps none of it by itself."""
    with talking(client, subprotocols=offered) as talk:
        assert talk.session.accepted_subprotocol == chosen


@pytest.mark.parametrize(
    "offer",
    [
        {"headers": BEARER},
        {"headers": {"authorization": "Bearer sk-second"}},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]},
    ],
)
def test_a_key_opens(locked: Client, offer: dict[str, Any]) -> None:
    with talking(locked, **offer) as talk:
        assert talk.next()["type"] == "session.created"


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"headers": {"authorization": "Bearer sk-other"}},
        {"headers": {"authorization": f"Basic {KEY}"}},
        {"headers": {"authorization": f"Bearer {PREFIX}unknown"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.sk-other"]},
    ],
)
def test_without_a_key_the_reason_is_told_and_the_socket_closed(locked: Client, offer: dict[str, Any]) -> None:
    with talking(locked, **offer) as talk:
        assert talk.end() == ("invalid_api_key", 3000, "invalid_request_error.invalid_api_key")
    assert talk.types == ["error"]


def test_while_the_model_loads_the_client_is_told_to_come_again() -> None:
    let_go = threading.Event()

    def load() -> FakeRecognizer:
        let_go.wait(PATIENCE_S)
        return FakeRecognizer(TEXT)

    with TestClient(create_app(make_container(Settings(), load))) as client:
        with talking(client) as talk:
            assert talk.end() == ("not_ready", 1013, "server_error.not_ready")
        let_go.set()


def test_one_session_too_many_is_told_and_closed() -> None:
    with serving(Settings(max_live_sessions=1)) as (client, _):
        with talking(client) as first:
            first.next()
            with talking(client) as second:
                assert second.end() == ("overloaded", 1013, "server_error.overloaded")
            first.update({})
        wait_until(lambda: numbers_of(client)["stt_live_sessions"] == 0)
        with talking(client) as third:
            assert third.next()["type"] == "session.created"


def test_too_much_that_waits_is_told_and_closed() -> None:
    recognizer = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(live_backlog_s=1), recognizer=recognizer) as (client, _), talking(client) as talk:
        talk.update(MANUAL)
        talk.append(tone(2.0))
        talk.send("input_audio_buffer.commit")
        talk.append(tone(0.5))
        assert talk.end() == ("overloaded", 1013, "server_error.overloaded")
        recognizer.let_go.set()


def test_a_message_larger_than_any_may_be_is_told_and_closed(client: Client) -> None:
    with talking(client) as talk:
        talk.session.send_text("x" * (LARGEST_MESSAGE + 1))
        assert talk.end() == ("message_too_large", 1009, "invalid_request_error.message_too_large")


def test_a_session_ends_when_its_time_is_over_and_says_all_it_heard() -> None:
    with serving(Settings(realtime_session_s=1)) as (client, _), talking(client) as talk:
        created = talk.next()
        talk.update(MANUAL)
        talk.append(tone(0.5))
        assert talk.end() == ("session_expired", 1001, "invalid_request_error.session_expired")
    assert created["session"]["expires_at"] > 1_700_000_000
    assert f"{TRANSCRIPT}.completed" in talk.types


def test_a_client_that_sends_nothing_is_let_go() -> None:
    with serving(Settings(live_idle_s=0.2)) as (client, _), talking(client) as talk:
        assert talk.end() == ("idle_timeout", 1008, "invalid_request_error.idle_timeout")


def test_a_client_that_leaves_leaves_nothing() -> None:
    recognizer = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(recognizer=recognizer) as (client, _):
        with talking(client) as talk:
            talk.update(MANUAL)
            talk.append(tone(1.0))
            talk.send("input_audio_buffer.commit")
            talk.until(ITEM[0])
        wait_until(lambda: numbers_of(client)["stt_live_sessions"] == 0)
        recognizer.let_go.set()
        wait_until(lambda: numbers_of(client)["stt_queue_items"] == 0)
        left = numbers_of(client)
        assert (left["stt_live_sessions"], left["stt_queue_items"]) == (0, 0)


def test_the_log_has_one_event_for_a_session_and_nothing_that_was_said(client: Client) -> None:
    with capture_logs() as logs:
        with talking(client) as talk:
            talk.update(SAMPLES_16K)
            talk.utterance(said())
        wait_until(lambda: any(event["event"] == "live_session_finished" for event in logs))
    (finished,) = [event for event in logs if event["event"] == "live_session_finished"]
    assert (finished["protocol"], finished["utterances"], finished["heard_s"]) == ("realtime", 1, 2.5)
    assert TEXT.split()[0] not in str(logs)
