"""Who may open `/ws`, when there is no place, how a conversation ends, and that nothing of it is left."""

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pytest
import structlog
from litestar.testing import TestClient, WebSocketTestSession
from structlog.testing import capture_logs

from app.domain.audio import MODEL_RATE_HZ, Clip, Samples
from app.domain.errors import ModelNotReadyError
from app.domain.ports import Options, VoiceStream
from app.entrypoints.app import create_app
from app.entrypoints.websocket.sockets import LARGEST_MESSAGE
from app.settings import Settings
from app.testing.fakes import FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .live import cut, numbers_of, rest_of, shorts, talk, wait_until
from .service import PATIENCE_S, TEXT, Client, make_container, serving, tone

KEY: Final = "sk-first/+=~"
LOCKED: Final = Settings(api_keys=(KEY, "sk-second"))
BEARER: Final = {"authorization": f"Bearer {KEY}"}
PAGE: Final = "https://app.example"
SAID: Final = shorts(np.concatenate([tone(1.0), np.zeros(MODEL_RATE_HZ, np.float32)]))
NOTHING_LEFT: Final = {"stt_live_sessions": 0, "stt_queue_items": 0}


class Connection:
    """What a server holds of a client that says nothing and is cut off."""

    def __init__(self) -> None:
        self._coming = ["websocket.connect", "websocket.disconnect"]

    async def receive(self) -> Any:
        return {"type": self._coming.pop(0), "code": 1006}

    async def send(self, _message: Any) -> None:
        """Take it."""


class CrashingDetector(FakeVoiceDetector):
    """Fails as no port allows."""

    def open_stream(self) -> VoiceStream:
        return _CrashingStream()


class _CrashingStream:
    def push(self, samples: Samples) -> Samples:
        raise OSError("the secret cause in /srv/private")


@pytest.fixture(scope="module")
def locked() -> Iterator[Client]:
    with serving(LOCKED) as (client, _):
        yield client


def finishing_events(logs: list[Any]) -> list[Any]:
    return [event for event in logs if event["event"] == "live_session_finished"]


# Keys and origins


@pytest.mark.parametrize(
    "offer",
    [
        {"headers": BEARER},
        {"headers": {"authorization": "bearer sk-second"}},
        {"url": f"/ws?api_key={quote(KEY, safe='')}"},
        {"url": f"/ws?words=1&token={quote(KEY, safe='')}"},
        {"subprotocols": ["plain", f"openai-insecure-api-key.{KEY}"]},
        {"subprotocols": ["openai-insecure-api-key.sk-second"]},
        {"url": f"/ws?api_key={quote(KEY, safe='')}", "headers": {"authorization": "Basic abc"}},
    ],
    ids=["header", "second key", "api_key", "token", "subprotocol", "subprotocol alone", "query beside another scheme"],
)
def test_a_key_opens_wherever_it_is_sent(locked: Client, offer: dict[str, Any]) -> None:
    with locked.websocket_connect(**{"url": "/ws", **offer}) as session:
        session.send_bytes(SAID)
        session.send_json({"type": "finish"})
        assert rest_of(session).texts == [TEXT]


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"headers": {"authorization": "Bearer wrong-key"}},
        {"headers": {"authorization": f"Basic {KEY}"}},
        {"headers": {"authorization": "Bearer wrong-key"}, "url": f"/ws?api_key={quote(KEY, safe='')}"},
        {"url": "/ws?api_key=wrong-key"},
        {"url": "/ws?api_key="},
        {"url": f"/ws?key={quote(KEY, safe='')}"},
        {"url": "/ws?api_key=%FF%FE"},
        {"subprotocols": ["openai-insecure-api-key.wrong-key"]},
        {"subprotocols": ["openai-insecure-api-key."]},
        {"subprotocols": [KEY]},
    ],
)
def test_without_a_key_a_client_is_told_why_and_closed(locked: Client, offer: dict[str, Any]) -> None:
    with capture_logs() as logs:
        with locked.websocket_connect(**{"url": "/ws", **offer}) as session:
            session.send_bytes(SAID)
            heard = rest_of(session)
        wait_until(lambda: "invalid_api_key" in [event["outcome"] for event in finishing_events(logs)])
    assert heard.code == 1008
    (message,) = heard.messages
    error = message["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    assert heard.reason.startswith("invalid_api_key: ")
    assert len(heard.reason.encode()) <= 123
    for told in (str(heard), str(logs)):
        assert KEY not in told
        assert "wrong-key" not in told


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["plain"], "plain"),
        ([f"openai-insecure-api-key.{KEY}", "openai-organization.org", "realtime"], "realtime"),
        ([f"openai-insecure-api-key.{KEY}"], None),
    ],
)
def test_the_subprotocol_chosen_is_one_that_was_offered_and_never_the_key(
    locked: Client, offered: list[str], chosen: str | None
) -> None:
    with locked.websocket_connect("/ws", subprotocols=offered or None, headers=BEARER) as session:
        assert session.accepted_subprotocol == chosen
        session.send_json({"type": "finish"})
        assert rest_of(session).code == 1000


@pytest.mark.parametrize(
    ("origins", "origin", "may"),
    [
        ((), None, True),
        ((), PAGE, False),
        ((), "null", False),
        ((), "http://testserver.local", True),  # the service's own host
        ((), "http://testserver.local.evil.example", False),
        ((PAGE,), PAGE, True),
        ((PAGE,), "https://app.example.evil", False),
        (("*",), PAGE, True),
        (("*",), "null", True),
    ],
)
def test_a_page_may_come_in_from_the_origins_that_were_set(origins: tuple[str, ...], origin: str | None, may: bool) -> None:
    with serving(Settings(cors_origins=origins)) as (client, _):
        headers = {} if origin is None else {"origin": origin}
        with client.websocket_connect("/ws", headers=headers) as session:
            session.send_json({"type": "finish"})
            heard = rest_of(session)
    if may:
        assert (heard.code, heard.errors) == (1000, [])
    else:
        assert (heard.code, [error["code"] for error in heard.errors]) == (1008, ["origin_not_allowed"])


# No place


def test_one_session_more_than_there_is_room_for_is_told_to_come_again() -> None:
    with serving(Settings(max_live_sessions=2)) as (client, _):
        with client.websocket_connect("/ws"), client.websocket_connect("/ws") as second:
            wait_until(lambda: numbers_of(client)["stt_live_sessions"] == 2)
            with client.websocket_connect("/ws") as third:
                refused = rest_of(third)
            assert refused.code == 1013
            assert [(error["type"], error["code"]) for error in refused.errors] == [("server_error", "overloaded")]
            assert "2 live sessions" in refused.reason
            second.send_json({"type": "finish"})
            assert rest_of(second).code == 1000
            assert talk(client, [SAID]).texts == [TEXT]
        wait_until(lambda: numbers_of(client) == NOTHING_LEFT)


def test_while_the_model_loads_a_client_is_told_to_come_again() -> None:
    with TestClient(create_app(make_container(Settings(), _never))) as client, client.websocket_connect("/ws") as session:
        refused = rest_of(session)
    assert refused.code == 1013
    assert [(error["type"], error["code"]) for error in refused.errors] == [("server_error", "not_ready")]


def _never() -> Any:
    raise ModelNotReadyError("not today", retry_after_s=1)


def test_a_session_that_sends_more_than_may_wait_is_closed_and_its_work_withdrawn() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(live_backlog_s=3), recognizer=gated) as (client, _):
        with client.websocket_connect("/ws") as session:
            for _ in range(4):
                session.send_bytes(SAID)
            heard = rest_of(session)
        assert heard.code == 1013
        assert heard.messages[-1]["error"]["code"] == "overloaded"
        assert "3 s" in heard.reason
        wait_until(lambda: numbers_of(client) == NOTHING_LEFT)
        gated.let_go.set()
        assert talk(client, [SAID]).texts == [TEXT]


def test_a_full_queue_fails_the_utterance_and_not_the_session() -> None:
    gated = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(max_waiting_s=2), recognizer=gated) as (client, container), client.websocket_connect("/ws") as session:
        others = [container.engine().submit(Clip(tone(1)), Options())]
        assert gated.entered.wait(PATIENCE_S)
        others.append(container.engine().submit(Clip(tone(2)), Options()))
        session.send_bytes(SAID)
        queued, failed = (session.receive_json(timeout=PATIENCE_S) for _ in range(2))
        gated.let_go.set()
        assert [other.result(PATIENCE_S).text for other in others] == [TEXT, TEXT]
        session.send_bytes(SAID)
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    assert queued == {"status": "queued"}
    assert (failed["utterance"], failed["error"]["code"]) == (1, "overloaded")
    assert (heard.texts, heard.errors, heard.code) == ([TEXT], [], 1000)


# Messages too large, or too many


@pytest.mark.parametrize("message", [bytes(LARGEST_MESSAGE + 1), "x" * (LARGEST_MESSAGE + 1)], ids=["sound", "text"])
def test_a_message_larger_than_any_may_be_closes_with_1009(message: str | bytes) -> None:
    with serving() as (client, _), capture_logs() as logs:
        with client.websocket_connect("/ws") as session:
            session.send_bytes(SAID[: len(SAID) // 2])
            session.send_text(message) if isinstance(message, str) else session.send_bytes(message)
            heard = rest_of(session)
        assert (heard.code, [error["code"] for error in heard.errors]) == (1009, ["message_too_large"])
        assert heard.texts == [TEXT], "what was said before has its text"
        wait_until(lambda: [event["outcome"] for event in finishing_events(logs)] == ["message_too_large"])
        assert numbers_of(client) == NOTHING_LEFT


def test_a_flood_of_small_messages_is_heard_no_faster_than_others_can_bear() -> None:
    n_messages = 2_250  # of which 2,000 may come at once, and 500 a second
    with serving() as (client, _), client.websocket_connect("/ws") as session:
        began_s = time.monotonic()
        for at in range(n_messages):
            session.send_bytes(SAID[at : at + 1])
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    assert time.monotonic() - began_s > 0.4
    assert (heard.errors, heard.code) == ([], 1000)


# How it ends


def test_our_fault_is_told_without_its_cause_and_closed_with_1011() -> None:
    with serving(detector=CrashingDetector()) as (client, _), capture_logs() as logs:
        with client.websocket_connect("/ws") as session:
            session.send_bytes(SAID)
            heard = rest_of(session)
            assert numbers_of(client) == NOTHING_LEFT  # before the client is told
        wait_until(lambda: bool(finishing_events(logs)))
    assert heard.code == 1011
    assert [error["code"] for error in heard.errors] == ["internal_error"]
    assert not [word for word in ("secret", "private", "OSError") if word in str(heard)]
    (failed,) = [event for event in logs if event["event"] == "live_session_failed"]
    assert "secret cause" in str(failed["exc_info"])
    assert [event["outcome"] for event in finishing_events(logs)] == ["internal_error"]


def test_a_client_that_sends_nothing_gets_what_it_said_and_is_closed() -> None:
    with serving(Settings(live_idle_s=0.2)) as (client, _), capture_logs() as logs:
        with client.websocket_connect("/ws") as session:
            session.send_bytes(shorts(tone(1.0)))  # no silence after it, and no finish
            heard = rest_of(session)
            assert numbers_of(client) == NOTHING_LEFT  # before the client is told
        wait_until(lambda: bool(finishing_events(logs)))
    assert heard.texts == [TEXT]
    assert heard.messages[-1]["error"]["code"] == "idle_timeout"
    assert (heard.code, heard.reason[:12]) == (1008, "idle_timeout")
    assert [event["outcome"] for event in finishing_events(logs)] == ["idle_timeout"]


def test_one_event_tells_of_a_session_and_never_what_was_said() -> None:
    with serving() as (client, _), capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        with client.websocket_connect("/ws?words=1&partials=1", headers={"x-request-id": "mine"}) as session:
            assert session.extra_headers == [(b"x-request-id", b"mine")]
            session.send_bytes(SAID * 2)
            session.send_json({"type": "finish"})
            assert len(rest_of(session).texts) == 2
        with client.websocket_connect("/ws") as session:
            (name, given) = (session.extra_headers or [])[0]
            assert name == b"x-request-id"
        wait_until(lambda: len(finishing_events(logs)) == 2)
    first, second = finishing_events(logs)
    elapsed_s = first.pop("elapsed_s")
    assert 0 <= elapsed_s < PATIENCE_S
    stages = {name: first.pop(name) for name in ("queue_ms", "model_ms", "clips", "largest_batch")}
    assert stages["clips"] >= 2
    assert first == {
        "event": "live_session_finished", "log_level": "info", "request_id": "mine", "protocol": "ws", "outcome": "finished",
        "heard_s": 4.0, "utterances": 2,
    }  # fmt: skip
    assert (second["outcome"], second["heard_s"], second["utterances"]) == ("left", 0.0, 0)
    assert second["request_id"] == given.decode()
    for word in TEXT.split():
        assert word not in str(logs)


def test_sessions_are_told_to_prometheus() -> None:
    with serving() as (client, _):
        assert numbers_of(client) == NOTHING_LEFT
        with client.websocket_connect("/ws"), client.websocket_connect("/ws?words=1"):
            wait_until(lambda: numbers_of(client)["stt_live_sessions"] == 2)
        wait_until(lambda: numbers_of(client) == NOTHING_LEFT)


# Clients that leave


def leave_at_once(_session: WebSocketTestSession) -> None: ...


def leave_within_a_sample(session: WebSocketTestSession) -> None:
    session.send_bytes(SAID[:777])


def leave_while_speaking(session: WebSocketTestSession) -> None:
    for piece in cut(SAID[: len(SAID) // 3], n_bytes=3_201):
        session.send_bytes(piece)


def leave_when_queued(session: WebSocketTestSession) -> None:
    session.send_bytes(SAID)
    wait_until(lambda: session.receive_json(timeout=PATIENCE_S) == {"status": "queued"})


def leave_while_finishing(session: WebSocketTestSession) -> None:
    session.send_bytes(SAID * 3)
    session.send_json({"type": "finish"})
    wait_until(lambda: session.receive_json(timeout=PATIENCE_S) == {"status": "queued"})


def leave_before_anything_is_told(session: WebSocketTestSession) -> None:
    session.send_bytes(SAID * 2)
    session.send_json({"type": "commit"})
    session.send_json({"type": "finish"})


def leave_after_a_fault(session: WebSocketTestSession) -> None:
    session.send_json({"type": "commit"})
    assert "error" in session.receive_json(timeout=PATIENCE_S)


LEAVINGS: Final[list[Callable[[WebSocketTestSession], None]]] = [
    leave_at_once, leave_within_a_sample, leave_while_speaking, leave_when_queued, leave_while_finishing,
    leave_before_anything_is_told, leave_after_a_fault,
]  # fmt: skip


@pytest.mark.parametrize("stands_still", [True, False], ids=["nothing is answered", "all is answered"])
def test_clients_that_leave_at_any_moment_leave_nothing_behind(stands_still: bool) -> None:
    """A thousand of them; then no task is left, no place is taken, nothing waits, and the next client is served."""

    async def n_tasks() -> int:
        return len(asyncio.all_tasks())

    gated = GatedRecognizer(FakeRecognizer(TEXT))
    if not stands_still:
        gated.let_go.set()
    with serving(Settings(max_live_sessions=16), recognizer=gated) as (client, _), client.portal() as portal:
        before = portal.call(n_tasks)
        for i in range(500):
            with client.websocket_connect(f"/ws?partials={i % 2}") as session:
                LEAVINGS[i % len(LEAVINGS)](session)
            if i % 8 == 0:  # more than a few may overlap, but never so many that one is refused
                wait_until(lambda: numbers_of(client)["stt_live_sessions"] == 0)
        wait_until(lambda: numbers_of(client) == NOTHING_LEFT)
        wait_until(lambda: portal.call(n_tasks) <= before)
        gated.let_go.set()
        assert talk(client, [SAID]).texts == [TEXT]


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
def test_the_server_s_connection_is_given_back_at_once(path: str) -> None:
    """Not only when Python looks for garbage: it may be the last to hold a descriptor."""

    async def come_and_go(client: Client) -> bool:
        connection = Connection()
        left = weakref.ref(connection)
        scope: Any = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "headers": [], "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("test", 1), "server": ("test", 80),
            "subprotocols": [], "state": {},
        }  # fmt: skip
        await client.app(scope, connection.receive, connection.send)
        del connection
        return left() is None

    with serving() as (client, _), client.portal() as portal:
        gc.disable()
        try:
            assert portal.call(come_and_go, client)
        finally:
            gc.enable()
