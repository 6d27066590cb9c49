"""Clients that keep a connection and send nothing, or read nothing: the service ends it, and serves everybody else meanwhile."""

import base64
import json
import socket as sockets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import pytest

from bench.service import RULER
from bench.troubled_ruler import text_of
from tests.ruler import PATIENCE_S, ask, wait_until
from tests.service import Service, running_service

REQUEST: Final = b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n"
UPGRADE: Final = (
    b"GET /v1/realtime HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)
MOST: Final = 8


@pytest.fixture(scope="module")
def impatient() -> Iterator[Service]:
    settings = {"STT_CONNECTION_IDLE_S": "1", "STT_STALL_S": "1", "STT_MAX_CONNECTIONS": str(MOST)}
    with running_service(program=RULER, settings=settings) as running:
        running.wait_until_ready()
        yield running


def connected(service: Service, sent: bytes, *, receive_bytes: int | None = None) -> sockets.socket:
    client = sockets.socket()
    if receive_bytes:
        client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_bytes)  # before the handshake, or it is too late
    client.settimeout(PATIENCE_S)
    where = urlsplit(service.url)
    client.connect((where.hostname, where.port))
    client.sendall(sent)
    return client


def rest_of(client: sockets.socket) -> bytes:
    """Read until the service closes."""
    with client:
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_connections_that_bring_no_request_are_closed(impatient: Service) -> None:
    silent, half, idle = (connected(impatient, sent) for sent in (b"", REQUEST[:30], REQUEST))
    assert b"200" not in rest_of(silent)
    assert b"200" not in rest_of(half)
    assert rest_of(idle).startswith(b"HTTP/1.1 200")


def is_closed(client: sockets.socket) -> bool:
    client.setblocking(False)
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    return True


def test_a_connection_more_than_max_connections_waits_until_another_is_closed(impatient: Service) -> None:
    first = [connected(impatient, REQUEST) for _ in range(MOST)]
    assert [client.recv(12) for client in first] == [b"HTTP/1.1 200"] * MOST
    late = connected(impatient, REQUEST)
    assert late.recv(12) == b"HTTP/1.1 200"
    assert any(is_closed(client) for client in first)
    for client in (*first, late):
        client.close()


def sends_until_it_is_cut_off(client: sockets.socket, frame: bytes) -> bool:
    try:
        while True:
            client.sendall(frame)
    except ConnectionError:
        return True


def test_a_session_whose_client_does_not_read_is_cut_off_and_holds_nobody_up(impatient: Service) -> None:
    """Every event is answered with a longer one, until both sides' buffers are full."""
    event = json.dumps({"type": "session.update", "event_id": "x" * 400, "session": {"type": "transcription"}}).encode()
    frame = b"\x81" + bytes([0x80 | 126]) + len(event).to_bytes(2, "big") + bytes(4) + event
    with connected(impatient, UPGRADE, receive_bytes=4_096) as client, ThreadPoolExecutor(1) as pool:
        assert client.recv(64).startswith(b"HTTP/1.1 101")
        cut_off = pool.submit(sends_until_it_is_cut_off, client, frame)
        assert ask(impatient, 1).json()["text"] == text_of(1)
        assert cut_off.result()
    wait_until(lambda: '"outcome": "left"' in impatient.log)
    assert "Traceback" not in impatient.log
