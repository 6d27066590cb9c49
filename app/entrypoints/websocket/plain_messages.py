"""The messages of `/ws`: what a client may choose and say, and what it is told. Times are seconds from the first sample."""

import math
import re
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from ...domain.errors import InvalidRequestError
from ...domain.pcm import Encoding
from ...domain.transcript import Transcript
from ..errors import ErrorBody
from ..http.parameters import checked_keywords

_TELEPHONE_HZ: Final = 8_000  # the rate of G.711
_USUAL_HZ: Final = 16_000
_LONGEST_MESSAGE: Final = 256 * 1024  # characters of JSON: as many keywords as are allowed, escaped, and room to spare
_TYPES: Final = ("start", "commit", "clear", "finish")
_FIELD: Final = re.compile(r"\$\.(\w+)")  # in the path that msgspec gives of what is wrong


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may choose, in the query or in a start message."""

    sample_rate: Annotated[int, Meta(ge=8_000, le=48_000)] | None = None  # Hz; None: what is usual with the encoding
    encoding: Encoding = "pcm_s16le"
    partials: bool = False
    words: bool = False
    keywords: tuple[str, ...] = ()
    endpointing: bool = True  # False: only `commit` and `finish` end an utterance
    silence_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    prefix_ms: Annotated[int, Meta(ge=0, le=2_000)] = 300

    @property
    def rate_hz(self) -> int:
        return self.sample_rate or (_TELEPHONE_HZ if self.encoding.startswith("g711") else _USUAL_HZ)


_MAY_BE: Final = {
    "sample_rate": "a whole number from 8000 to 48000",
    "encoding": " or ".join(f"`{name}`" for name in get_args(Encoding)),
    "partials": "`true` or `false`",
    "words": "`true` or `false`",
    "keywords": "a list of words and phrases",
    "endpointing": "`true` or `false`",
    "silence_ms": "a whole number from 100 to 10000",
    "threshold": "a number between 0 and 1, neither of them",
    "prefix_ms": "a whole number from 0 to 2000",
}


class Status(msgspec.Struct, frozen=True):
    """`queued`: an utterance is over and waits for its text. `finished`: nothing more will come."""

    status: Literal["queued", "finished"]


class WordHeard(msgspec.Struct, frozen=True, kw_only=True):
    """A word."""

    word: str
    start: float
    end: float
    probability: float  # that the model gave it: the geometric mean over its pieces


class Text(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an utterance says; while it is not `final`, `text` is `stable`, which will not change, and `tentative`, joined."""

    text: str
    utterance: int
    final: bool
    start: float
    end: float
    stable: str | None = None
    tentative: str | None = None
    words: list[WordHeard] | None = None


class UtteranceError(ErrorBody, frozen=True, kw_only=True):
    """The answer to an utterance that has no text."""

    utterance: int


def read_query(query: bytes) -> dict[str, Any]:
    """Return what a query chooses: the last value of each name, of `keywords` (or `keywords[]`) all; values are text."""
    sent = parse_qs(query.decode("latin-1"))
    keywords = sent.pop("keywords[]", []) + sent.pop("keywords", [])
    chosen: dict[str, Any] = {name: values[-1] for name, values in sent.items()}
    return {**chosen, "keywords": keywords} if keywords else chosen


def read_choices(chosen: dict[str, Any]) -> Asked:
    """Check what a client chooses; names that mean nothing here, and nulls, are left out.

    Raises:
        InvalidRequestError: It names the field, with what it may be.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        asked = msgspec.convert(given, Asked, strict=False)
    except msgspec.ValidationError as fault:
        field = found[1] if (found := _FIELD.search(str(fault))) else None
        told = f"`{field}` must be {_MAY_BE[field]}" if field else "the options cannot be read"
        raise InvalidRequestError(told, field=field) from fault
    return msgspec.structs.replace(asked, keywords=checked_keywords(asked.keywords, name="keywords", field="keywords"))


def read_message(text: str) -> tuple[str, dict[str, Any]]:
    """Return the type of a client's message, `start` where it names none, and the message.

    Raises:
        InvalidRequestError: It is none of `_TYPES`, or no JSON object.
    """
    if len(text) > _LONGEST_MESSAGE:
        raise InvalidRequestError(f"a message may have at most {_LONGEST_MESSAGE} characters")
    try:
        message = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as fault:
        raise InvalidRequestError("a text message must be a JSON object; audio is sent in binary messages") from fault
    kind = message.get("type", "start")
    if kind not in _TYPES:
        raise InvalidRequestError(f"`type` must be {' or '.join(f'`{name}`' for name in _TYPES)}", field="type")
    return str(kind), message


def words_heard(transcript: Transcript) -> list[WordHeard]:
    """Return the words with their times."""
    return [
        WordHeard(
            word=word.text,
            start=round(word.start_s, 3),
            end=round(word.end_s, 3),
            probability=round(math.exp(word.logprob), 4),
        )
        for word in transcript.words
    ]
