"""The listening socket is found among a process's descriptors, and nothing is kept of the others."""

import asyncio
import os
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.entrypoints.cli.listener import bound_clients

STALL_S = 7.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these options")


def descriptors() -> set[str]:
    """Return what is open, and where it leads."""
    return {f"{one.name} {os.readlink(one)}" for one in Path("/proc/self/fd").iterdir() if one.exists()}


async def bound() -> None:
    bound_clients(stall_s=STALL_S)


def test_clients_of_a_listening_socket_are_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as other:
        asyncio.run(bound())
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * STALL_S
        assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_whatever_else_is_open_is_left_as_it_was() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as end, socket.create_server(("127.0.0.1", 0)), closing(socket.socket()):
        before = descriptors()
        asyncio.run(bound())
        assert descriptors() == before
        os.close(writing)
        assert end.read() == b""  # the pipe ends: nobody holds a copy
