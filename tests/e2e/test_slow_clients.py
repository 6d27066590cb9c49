"""Clients that keep a connection and send nothing, or read nothing: the service ends it, and serves everybody else meanwhile."""

import base64
import json
import select
import socket as sockets
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.ruler_service import text_of
from tests.ruler import PATIENCE_S, ask, wait_until
from tests.service import RULER, Service, running_service

REQUEST: Final = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n"
UPGRADE: Final = (
    b"GET /v1/realtime HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


@pytest.fixture(scope="module")
def impatient() -> Iterator[Service]:
    settings = {"STT_CONNECTION_IDLE_S": "1", "STT_STALL_S": "1"}
    with running_service(program=RULER, settings=settings) as running:
        running.wait_until_ready()
        yield running


def connected(service: Service, *, receive_bytes: int | None = None) -> sockets.socket:
    client = sockets.socket()
    if receive_bytes:
        client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_bytes)  # before the handshake, or it is too late
    client.settimeout(PATIENCE_S)
    where = urlsplit(service.url)
    client.connect((where.hostname, where.port))
    return client


@pytest.mark.parametrize("sent", [b"", b"G", REQUEST[:30], REQUEST], ids=["nothing", "a byte", "half a head", "a request"])
def test_a_connection_that_brings_no_request_is_closed(impatient: Service, sent: bytes) -> None:
    with connected(impatient) as client:
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200") if sent == REQUEST else b"200" not in answer


def live_sessions(service: Service) -> float:
    text = httpx.get(f"{service.url}/metrics", timeout=PATIENCE_S).text
    found = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return found["stt_live_sessions"]


def broken(client: sockets.socket) -> bool:
    """Whether the other side has reset the connection, whatever was not read yet."""
    poll = select.poll()
    poll.register(client, 0)  # errors are told always
    return bool(poll.poll(0))


def test_a_session_whose_client_does_not_read_is_cut_off_and_holds_nobody_up(impatient: Service) -> None:
    """Every event is answered with a longer one, until both sides' buffers are full."""
    event = json.dumps({"type": "session.update", "event_id": "x" * 400, "session": {"type": "transcription"}}).encode()
    frame = b"\x81" + bytes([0x80 | 126]) + len(event).to_bytes(2, "big") + bytes(4) + event
    with connected(impatient, receive_bytes=4_096) as client:
        client.sendall(UPGRADE)
        assert client.recv(64).startswith(b"HTTP/1.1 101")
        client.setblocking(False)
        wait_until(lambda: live_sessions(impatient) == 1)
        at, n_sent = 0, 0
        while select.select([], [client], [], 0.5)[1]:  # until nothing more goes out for a while
            at = (at + client.send(frame[at:])) % len(frame)
            n_sent += 1
        assert n_sent > 100
        assert ask(impatient, 1).json()["text"] == text_of(1)
        wait_until(lambda: live_sessions(impatient) == 0)
        wait_until(lambda: broken(client))
    assert '"outcome": "left"' in impatient.log
    assert "Traceback" not in impatient.log
