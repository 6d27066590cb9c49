"""`/ws`, whatever clients say in any order: every utterance has one answer, every bad message one error, and nothing breaks."""

import json
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from litestar.exceptions import WebSocketDisconnect

from app.entrypoints.websocket.plain_messages import Asked

from .any_order import MOST_OPEN, AnyOrder, Socket, anything, hold, sounds
from .live import Message
from .service import Client

QUERIES: Final = (
    "",
    "partials=1&words=true",
    "endpointing=0",
    "sample_rate=8000&encoding=g711_ulaw&silence_ms=100",
    "encoding=pcm_f32le",
)
STARTS: Final[tuple[Message, ...]] = (
    {"partials": True},
    {"type": "start", "sample_rate": 48_000, "keywords": ["Zagreb"]},
    {"type": "start", "endpointing": False, "words": True, "encoding": "g711_alaw"},
)
WORDS: Final = ("start", "pcm_f32le", "true", "8000")
NAMES: Final = ("type", *Asked.__struct_fields__)


class Talk(Socket):
    """One conversation, and how many errors its messages must have by now, and may have."""

    def __init__(self, client: Client, query: str) -> None:
        super().__init__(client, f"/ws?{query}")
        self.least_errors = self.most_errors = 0

    def tell(self, message: object, *, bad: bool | None = None) -> None:
        """Send a message; `bad` is None where it may be, or not."""
        self.say(message if isinstance(message, str) else json.dumps(message))
        self.least_errors += bad is True
        self.most_errors += bad is not False

    def rest(self) -> tuple[list[Message], WebSocketDisconnect]:
        """Return everything until the close."""
        told: list[Message] = []
        while not isinstance(message := self.next(), WebSocketDisconnect):
            told.append(message)
        return told, message

    def end(self) -> None:
        """Finish, and check all that was told."""
        self.tell({"type": "finish"}, bad=False)
        told, closed = self.rest()
        assert (closed.code, told.pop()) == (1000, {"status": "finished"})
        n_handed_over, n_errors = 0, 0
        answered: list[int] = []
        stable: dict[int, str] = {}
        for message in told:
            if message == {"status": "queued"}:
                n_handed_over += 1
            elif "utterance" not in message:
                n_errors += 1
                _check_error(message["error"])
            elif message.get("final", True):
                answered.append(message["utterance"])
                assert len(answered) <= n_handed_over
                assert "error" in message or message["text"].startswith(stable.get(message["utterance"], ""))
            else:
                assert len(answered) < message["utterance"] <= n_handed_over + 1
                assert message["stable"].startswith(stable.get(message["utterance"], ""))
                assert message["text"] == message["stable"] + message["tentative"]
                stable[message["utterance"]] = message["stable"]
        assert answered == list(range(1, n_handed_over + 1))
        assert self.least_errors <= n_errors <= self.most_errors


def _check_error(error: Message) -> None:
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "invalid_value"
    assert error["message"]
    assert error["param"] in (None, *NAMES)


class Talks(AnyOrder):
    """Clients of `/ws`."""

    talks = AnyOrder.talks

    @precondition(lambda self: len(self.sockets) < MOST_OPEN)
    @rule(target=talks, query=st.sampled_from(QUERIES))
    def come(self, query: str) -> Talk:
        talk = Talk(self.client, query)
        self.sockets.append(talk)
        return talk

    @rule(talk=talks, sound=sounds(), n_times=st.integers(1, 3))
    def speak(self, talk: Talk, sound: bytes, n_times: int) -> None:
        for _ in range(n_times):
            talk.say(sound)

    @rule(talk=talks)
    def commit(self, talk: Talk) -> None:
        talk.tell({"type": "commit"})

    @rule(talk=talks)
    def clear(self, talk: Talk) -> None:
        talk.tell({"type": "clear"}, bad=False)

    @rule(talk=talks, message=st.sampled_from(STARTS) | st.dictionaries(st.sampled_from(NAMES), anything(NAMES, WORDS), max_size=3))
    def start(self, talk: Talk, message: Message) -> None:
        if message.get("type") not in ("finish", "clear"):
            talk.tell(message)

    @rule(talk=talks, message=st.text(max_size=20).filter(lambda text: not text.lstrip().startswith("{")))
    def babble(self, talk: Talk, message: str) -> None:
        talk.tell(message, bad=True)

    @rule(talk=talks, message=anything(NAMES, WORDS).filter(lambda message: not isinstance(message, dict)))
    def say_no_object(self, talk: Talk, message: object) -> None:
        talk.tell(json.dumps(message), bad=True)

    @rule(
        talk=talks,
        kind=anything(NAMES, ("Start", "commit ")).filter(lambda kind: kind not in ("start", "commit", "clear", "finish")),
    )
    def ask_for_no_such_thing(self, talk: Talk, kind: object) -> None:
        talk.tell({"type": kind}, bad=True)


def test_every_utterance_is_answered_once_and_nothing_is_left(
    caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    assert hold(Talks, caplog, record_property) == []
