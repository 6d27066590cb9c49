"""A service with a key and room for one live session: who is refused is told why over the socket."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.connection import Connection
from websockets.typing import Subprotocol

from app.domain.audio import MODEL_RATE_HZ
from bench.service import RULER
from bench.troubled_ruler import RUN_S, said
from tests.ruler import opened, rest_of
from tests.service import Service, running_service

KEY: Final = "sk-live"
SOUND: Final = (said(*range(1, 13)).samples.tobytes() + bytes(4 * MODEL_RATE_HZ)) * 12  # utterances of 3 s with a second between


@pytest.fixture(scope="module")
def locked() -> Iterator[Service]:
    settings = {"STT_API_KEYS": KEY, "STT_MAX_LIVE_SESSIONS": "1", "STT_LIVE_IDLE_S": "1.5", "STT_LIVE_BACKLOG_S": "5"}
    with running_service(program=RULER, settings={**settings, RUN_S: "1"}) as running:
        running.wait_until_ready()
        yield running


def error_of(socket: Connection) -> tuple[int, str]:
    """Close code, and the code of the one error that was told, with which the reason begins."""
    (message,), code = rest_of(socket)
    told: str = message["error"]["code"]
    assert (socket.close_reason or "").startswith(told)
    return code, told


def test_a_refused_client_is_told_why_over_the_socket(locked: Service) -> None:
    for wrong in ("", "api_key=wrong"):
        with opened(locked, f"/ws?{wrong}") as socket:
            assert error_of(socket) == (1008, "invalid_api_key")
    with opened(locked, "/ws", subprotocols=[Subprotocol(f"openai-insecure-api-key.{KEY}"), Subprotocol("plain")]) as first:
        assert first.subprotocol == "plain"
        with opened(locked, f"/ws?token={KEY}") as second:
            assert error_of(second) == (1013, "overloaded")
        first.send('{"type": "finish"}')
        assert rest_of(first)[0] == [{"status": "finished"}]
    with opened(locked, "/ws", additional_headers={"Authorization": f"Bearer {KEY}"}) as idle:
        assert error_of(idle) == (1008, "idle_timeout")


def test_a_client_that_sends_too_much_is_told_while_it_sends(locked: Service) -> None:
    with opened(locked, f"/ws?encoding=pcm_f32le&token={KEY}") as socket:
        with suppress(ConnectionClosed):  # if it is still sending then
            for at in range(0, len(SOUND), 64_000):
                socket.send(SOUND[at : at + 64_000])
        messages, code = rest_of(socket)
    assert (code, messages[-1]["error"]["code"]) == (1013, "overloaded")


def test_an_open_session_does_not_keep_the_service_from_going_down(locked: Service) -> None:
    with opened(locked, f"/ws?encoding=pcm_f32le&token={KEY}") as socket:
        socket.send(said(1, 2, 3).samples.tobytes())
        started_s = time.monotonic()
        assert locked.stop() == 0
        assert time.monotonic() - started_s < 20
