"""`/v1/realtime`, whatever clients say in whatever order: each event has its answer, each item its text, and nothing breaks."""

import base64
import json
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from litestar.exceptions import WebSocketDisconnect

from app.entrypoints.websocket.realtime_session import AudioInput, ServerVad, SessionConfig, Transcription

from .any_order import MOST_OPEN, AnyOrder, Socket, anything, hold, sounds
from .live import Message
from .realtime import MANUAL, PATH, SAMPLES_16K, TRANSCRIPT
from .service import Client

UPDATES: Final = {"session.update", "transcription_session.update"}
REACTIONS: Final = {"error", "input_audio_buffer.cleared", *(f"{kind}d" for kind in UPDATES)}  # each to one event of the client's
CODES: Final = {"invalid_event", "invalid_value", "unknown_parameter", "model_not_found", "unsupported_value"}
EMPTY: Final = "input_audio_buffer_commit_empty"
SESSIONS: Final[tuple[Message, ...]] = (
    {},
    MANUAL,
    SAMPLES_16K,
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000, "silence_duration_ms": 0}}}},
    {"audio": {"input": {"format": {"type": "audio/pcmu"}}}, "include": ["item.input_audio_transcription.logprobs"]},
    {"audio": {"input": {"transcription": {"keywords": ["Zagreb"]}}}},
)
NAMES: Final = (
    "audio",
    "input",
    "format",
    *(name for kind in (SessionConfig, AudioInput, ServerVad, Transcription) for name in kind.__struct_fields__),
)
WORDS: Final = ("transcription", "audio/pcm", "server_vad", "en", "whisper-1")
TYPES: Final = (*UPDATES, "input_audio_buffer.append", "response.create", "session.created", "", "INPUT_AUDIO_BUFFER.COMMIT")


class Expected(msgspec.Struct, frozen=True):
    """An event of the client's whose answer is to come: of one of these types, or if `may_pass` none."""

    event_id: str | None
    types: frozenset[str]
    may_pass: bool


class Talk(Socket):
    """One conversation; what it is told is checked as it comes."""

    def __init__(self, client: Client, path: str) -> None:
        super().__init__(client, path)
        self._expected: deque[Expected] = deque()
        self._n_sent = 0
        self._items: dict[str, str] = {}  # what was told of each item that is not complete
        self._committed: list[str] = []  # and which of them are committed, in order
        self._last_item: str | None = None
        self._always_transcribed = True
        assert self._heard()["type"] in {"session.created", "transcription_session.created"}

    def tell(self, kind: object, *types: str, may_pass: bool = False, as_bytes: bool = False, **members: object) -> str:
        """Send an event that one of these types answers."""
        event_id, self._n_sent = f"ours-{self._n_sent}", self._n_sent + 1
        event = json.dumps({"type": kind, "event_id": event_id, **members})
        self.say(event.encode() if as_bytes else event)
        self._expected.append(Expected(event_id, frozenset(types), may_pass))
        return event_id

    def babble(self, frame: str | bytes) -> None:
        """Send what is no event."""
        self.say(frame)
        self._expected.append(Expected(None, frozenset({"error"}), may_pass=False))

    def settle(self) -> None:
        """Read on until everything that was sent has its answer."""
        self.tell("session.update", "session.updated", session={})
        while self._expected:
            self._heard()

    def end(self) -> None:
        """Read on until every item is told to its end."""
        self.settle()
        while self._committed and self._always_transcribed:
            self._heard()

    def _heard(self) -> Message:
        message = self.next()
        assert not isinstance(message, WebSocketDisconnect), f"closed with {message.code}: {message.detail}"
        kind, item = message["type"], message.get("item_id", "")
        if kind in REACTIONS:
            self._take_reaction(message)
        elif kind == "input_audio_buffer.committed":
            assert message["previous_item_id"] == self._last_item
            self._last_item = item
            self._committed.append(item)
        elif kind == f"{TRANSCRIPT}.delta":
            self._items[item] = self._items.get(item, "") + message["delta"]
        elif kind in (f"{TRANSCRIPT}.completed", f"{TRANSCRIPT}.failed"):
            assert item in self._committed
            assert item == self._committed[0] or not self._always_transcribed
            self._committed.remove(item)
            deltas = self._items.pop(item, "")
            assert kind.endswith("failed") or not self._always_transcribed or message["transcript"] == deltas.strip()
        return message

    def _take_reaction(self, message: Message) -> None:
        kind, error = message["type"], message.get("error", {})
        while self._expected[0].may_pass and (kind != "error" or error["event_id"] != self._expected[0].event_id):
            self._expected.popleft()
        expected = self._expected.popleft()
        assert kind in expected.types
        if kind == "error":
            assert error["event_id"] == expected.event_id
            assert error["type"] == "invalid_request_error"
            assert error["message"]
            assert error["code"] in CODES | {EMPTY}
            assert error["param"] or error["code"] in {EMPTY, "invalid_event"}
        if session := message.get("session"):
            now = session["audio"]["input"]["transcription"] if "audio" in session else session["input_audio_transcription"]
            self._always_transcribed = self._always_transcribed and now is not None


class Talks(AnyOrder):
    """Clients of `/v1/realtime`."""

    talks = AnyOrder.talks

    @precondition(lambda self: len(self.sockets) < MOST_OPEN)
    @rule(target=talks, path=st.sampled_from([PATH, "/realtime?model=whisper-1"]), session=st.sampled_from(SESSIONS))
    def come(self, path: str, session: Message) -> Talk:
        talk = Talk(self.client, path)
        self.sockets.append(talk)
        talk.tell("session.update", "session.updated", session=session)
        return talk

    @rule(talk=talks, sound=sounds(), n_times=st.integers(1, 3), as_bytes=st.booleans())
    def speak(self, talk: Talk, sound: bytes, n_times: int, as_bytes: bool) -> None:
        for _ in range(n_times):
            talk.tell("input_audio_buffer.append", may_pass=True, as_bytes=as_bytes, audio=base64.b64encode(sound).decode())

    @rule(talk=talks)
    def commit(self, talk: Talk) -> None:
        talk.tell("input_audio_buffer.commit", "error", may_pass=True)

    @rule(talk=talks)
    def clear(self, talk: Talk) -> None:
        talk.tell("input_audio_buffer.clear", "input_audio_buffer.cleared")

    @rule(talk=talks, session=st.sampled_from(SESSIONS))
    def update(self, talk: Talk, session: Message) -> None:
        talk.tell("session.update", "session.updated", session=session)

    @rule(talk=talks, kind=st.sampled_from(sorted(UPDATES)), session=anything(NAMES, WORDS))
    def update_to_anything(self, talk: Talk, kind: str, session: object) -> None:
        talk.tell(kind, f"{kind}d", "error", session=session)

    @rule(talk=talks, name=st.sampled_from(NAMES), value=anything(NAMES, WORDS))
    def set_one_member_to_anything(self, talk: Talk, name: str, value: object) -> None:
        talk.tell("session.update", "session.updated", "error", session={"audio": {"input": {name: value}}})

    @rule(talk=talks, kind=st.sampled_from(TYPES) | anything(NAMES, WORDS), audio=anything(NAMES, ("AAAA", "A===", "%")))
    def send_anything(self, talk: Talk, kind: object, audio: object) -> None:
        types = (f"{kind}d",) if kind in sorted(UPDATES) else ()
        talk.tell(kind, "error", *types, may_pass=kind == "input_audio_buffer.append", audio=audio)

    @rule(talk=talks, frame=st.text(max_size=20) | st.binary(max_size=20) | anything(NAMES, WORDS).map(json.dumps))
    def babble(self, talk: Talk, frame: str | bytes) -> None:
        talk.babble(frame)

    @rule(talk=talks)
    def settle(self, talk: Talk) -> None:
        talk.settle()


def test_every_event_and_every_item_is_answered_and_nothing_is_left(
    caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    assert hold(Talks, caplog, record_property) == []
