"""What systemd is told."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.entrypoints.cli.systemd import notify


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(10)
        yield heard


def test_a_state_is_told_on_the_socket_that_was_named(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert notify("READY=1")
    assert listener.recv(100) == b"READY=1"


def test_an_abstract_socket_is_reached(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    listener.bind(b"\0parakeet-stt-test")
    monkeypatch.setenv("NOTIFY_SOCKET", "@parakeet-stt-test")
    assert notify("STATUS=loading")
    assert listener.recv(100) == b"STATUS=loading"


def test_where_nobody_asks_or_listens_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")
