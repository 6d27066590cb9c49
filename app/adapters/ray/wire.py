"""What crosses between the service and its replicas: plain data, so that neither needs the other's classes."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ...domain.ports import Options, RecognizerFacts
from ...domain.transcript import Transcript


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What answers of different replicas must have in common to be answers of one service."""

    package: str
    model_id: str
    precision: str

    def __str__(self) -> str:
        return f"parakeet-stt {self.package} with {self.model_id} in {self.precision}"


class Introduction(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica says of itself."""

    package: str
    facts: RecognizerFacts
    configuration: dict[str, Any]

    @property
    def version(self) -> Version:
        return Version(package=self.package, model_id=self.facts.model_id, precision=self.facts.precision)


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A batch that was recognised; `run_s` is what the model took, in seconds."""

    replica: str
    transcripts: tuple[Transcript, ...]
    run_s: float


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A batch that the recogniser failed on, as it would on any other replica."""

    replica: str
    told: str  # with the traceback, for the log


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The replica's device is lost; another replica may do."""

    replica: str
    told: str


class OtherVersion(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The replica is not of the version that was asked for, and has not listened."""

    replica: str
    version: Version


Outcome = Heard | Failed | Lost | OtherVersion


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What goes with the samples of a batch."""

    version: Version
    options: Sequence[Options]


_ENCODER: Final = msgspec.msgpack.Encoder()
_OUTCOMES: Final[msgspec.msgpack.Decoder[Outcome]] = msgspec.msgpack.Decoder(Outcome)
_REQUESTS: Final = msgspec.msgpack.Decoder(Request)
_INTRODUCTIONS: Final = msgspec.msgpack.Decoder(Introduction)


def encoded(value: Outcome | Request | Introduction) -> bytes:
    """Return a value as msgpack."""
    return _ENCODER.encode(value)


def outcome_of(data: bytes) -> Outcome:
    """Read what a replica made of a batch."""
    return _OUTCOMES.decode(data)


def request_of(data: bytes) -> Request:
    """Read what is asked of a replica."""
    return _REQUESTS.decode(data)


def introduction_of(data: bytes) -> Introduction:
    """Read what a replica says of itself."""
    return _INTRODUCTIONS.decode(data)
