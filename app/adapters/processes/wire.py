"""What the service and a process that decodes say to each other over a socket.

Messages are small and typed, samples raw float32 beside them: nothing that comes from a decoder is ever unpickled.
"""

import socket
import struct
from typing import Final, TypeVar

import msgspec

from ...domain.audio import MODEL_RATE_HZ
from ...domain.ports import DecodeLimits

MOST_SAMPLES: Final = 60 * MODEL_RATE_HZ  # in one answer; a port's block has "some seconds", and an answer hardly more
LONGEST_TEXT: Final = 500
_MOST_BYTES: Final = 8_192  # of one message
_LENGTH: Final = struct.Struct("<I")

T = TypeVar("T")


class WireError(Exception):
    """The other side said what it may not say."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told when it is started."""

    normalizer: str  # `module:class` of an `AudioNormalizer` that needs no arguments
    memory_bytes: int  # what it may take beyond what it has when it is ready
    parent_pid: int


class Open(msgspec.Struct, frozen=True, tag=True):
    """Decode the file whose descriptor comes with this; the first `skip_samples` of the result are known already."""

    job: int
    limits: DecodeLimits
    skip_samples: int


class Pull(msgspec.Struct, frozen=True, tag=True):
    """Decode on for a while, and answer; nothing else is answered."""

    job: int


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Nobody wants the rest."""

    job: int


Request = Open | Pull | Drop


class Refusal(msgspec.Struct, frozen=True):
    """The error that ended a file: the name of its class, and its text."""

    kind: str
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The next stretch of a file; `n_samples` float32 follow the message."""

    n_samples: int = 0
    truncated: bool = False
    ended: bool = False
    refusal: Refusal | None = None  # after the samples
    lost: bool = False  # the file had to make room, or was never here: open it again


class Ready(msgspec.Struct, frozen=True):
    """Everything is loaded and the limits hold: the first message of a process."""


def packed(message: msgspec.Struct) -> bytes:
    """Return the message as it is sent: its length, then itself."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def length_of(head: bytes | bytearray) -> int:
    """Read the length of the message that follows its first `HEAD_BYTES` bytes.

    Raises:
        WireError: It is longer than any message.
    """
    n_bytes: int = _LENGTH.unpack(head)[0]
    if n_bytes > _MOST_BYTES:
        raise WireError("a message is too long")
    return n_bytes


HEAD_BYTES: Final = _LENGTH.size


def unpacked(body: bytes | bytearray, kind: type[T]) -> T:
    """Read a message of one kind.

    Raises:
        WireError: It is none.
    """
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise WireError("a message cannot be read") from fault


def next_request(connection: socket.socket) -> tuple[Request, int | None] | None:
    """Wait for the next request and the descriptor that came with it, on a blocking socket; None once nobody will ask again."""
    head, descriptors, _, _ = socket.recv_fds(connection, HEAD_BYTES, 1)
    if len(head) < HEAD_BYTES:
        return None
    body = connection.recv(length_of(head), socket.MSG_WAITALL)
    return unpacked(body, Request), descriptors[0] if descriptors else None  # type: ignore[arg-type]  # a union is no type to mypy
