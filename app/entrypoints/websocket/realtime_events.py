"""The events a realtime session sends, as OpenAI's clients know them. Times are milliseconds from the session's first sample."""

import uuid

import msgspec

from ..http.bodies import DurationUsage, LogProbability
from .realtime_session import BetaSessionObject, SessionObject


def new_id(prefix: str) -> str:
    """Return an id as the hosted API's are: the prefix and 21 characters."""
    return f"{prefix}{uuid.uuid4().hex[:21]}"


class ServerEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What every event has."""

    event_id: str


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    session: SessionObject


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    session: SessionObject


class BetaSessionCreated(ServerEvent, frozen=True, kw_only=True, tag="transcription_session.created"):
    session: BetaSessionObject


class BetaSessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="transcription_session.updated"):
    session: BetaSessionObject


class SpeechStarted(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"):
    audio_start_ms: int
    item_id: str


class SpeechStopped(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"):
    audio_end_ms: int
    item_id: str


class TimeoutTriggered(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"):
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class Committed(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"):
    item_id: str
    previous_item_id: str | None


class Cleared(ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"):
    pass


class AudioContent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """The audio itself is not sent back, and its text comes in events of its own."""

    transcript: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "object"}, tag_field="type", tag="message"):
    """An utterance."""

    id: str
    kind: str = "realtime.item"
    status: str = "completed"
    role: str = "user"
    content: tuple[AudioContent] = (AudioContent(),)


class ItemAdded(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.added"):
    previous_item_id: str | None
    item: Item


class ItemDone(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.done"):
    previous_item_id: str | None
    item: Item


class ItemCreated(ServerEvent, frozen=True, kw_only=True, tag="conversation.item.created"):
    previous_item_id: str | None
    item: Item


class TranscriptEvent(ServerEvent, frozen=True, kw_only=True):
    """Of an item's one content."""

    item_id: str
    content_index: int


class TranscriptDelta(TranscriptEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.delta"):
    delta: str
    logprobs: list[LogProbability] | None = None


class TranscriptCompleted(TranscriptEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.completed"):
    transcript: str
    usage: DurationUsage
    logprobs: list[LogProbability] | None = None


class TranscriptError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item has no transcript."""

    type: str
    code: str | None
    message: str
    param: str | None


class TranscriptFailed(TranscriptEvent, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.failed"):
    error: TranscriptError


class EventError(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong; `event_id` is that of the client's event, if it had one."""

    type: str
    code: str | None
    message: str
    param: str | None
    event_id: str | None


class ErrorEvent(ServerEvent, frozen=True, kw_only=True, tag="error"):
    error: EventError
