"""OpenAI's realtime transcription protocol, sans-IO: client events in, what to do and server events out. No clock, no socket."""

from collections.abc import Callable
from typing import Final

import msgspec

from ...domain.live_events import Event, Failed, HandedOver, Idle, Partial, Started, Stopped
from ...domain.live_events import Final as FinalText
from ...domain.transcript import Transcript
from ..errors import INVALID, ErrorBody, body_of_failure, shortened
from ..http.bodies import DurationUsage, log_probabilities
from . import realtime_events as wire
from .realtime_reading import ClientEvent
from .realtime_session import (
    BetaSessionObject,
    SessionConfig,
    SessionObject,
    beta_session_object,
    session_object,
    sound_of,
)
from .realtime_updates import RefusedEventError, Served, updated_by_beta, updated_config

_UPDATES: Final = {"session.update": False, "transcription_session.update": True}  # whether it is the beta's
_OF_CONVERSATIONS: Final = frozenset(
    {
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "output_audio_buffer.clear",
        "response.cancel",
        "response.create",
    }
)


class Append(msgspec.Struct, frozen=True):
    """Take this sound."""

    data: bytes


class Commit(msgspec.Struct, frozen=True):
    """End the present utterance."""


class Clear(msgspec.Struct, frozen=True):
    """Forget the present utterance."""


class Configure(msgspec.Struct, frozen=True, kw_only=True):
    """Hear on as the session is set now."""

    other_sound: bool  # its encoding or rate has changed
    beta: bool  # the client spoke the beta's dialect


Deed = Append | Commit | Clear | Configure


class _Item(msgspec.Struct, eq=False, kw_only=True):
    id: str
    n_told: int = 0  # tokens that went out as deltas


class RealtimeProtocol:
    """One session. Whoever drives it sends what it returns, in order."""

    def __init__(
        self,
        config: SessionConfig,
        served: Served,
        *,
        expires_unix_s: int,
        beta: bool,
        new_id: Callable[[str], str],
    ) -> None:
        """Begin.

        Args:
            expires_unix_s: When the session ends at the latest; only told.
            beta: Which dialect to speak until the first update shows the client's.
            new_id: Makes an id that begins with what it is given.
        """
        self._config, self._served, self._expires_unix_s, self._new_id = config, served, expires_unix_s, new_id
        self._beta, self._dialect_shown = beta, False
        self._session_id = new_id("sess_")
        self._items: dict[int, _Item] = {}  # by utterance, until it is told all
        self._open: int | None = None  # the last utterance that was mentioned, until it is committed
        self._last_item_id: str | None = None  # of those that were committed

    @property
    def config(self) -> SessionConfig:
        """What the session is set to."""
        return self._config

    @property
    def n_unfinished(self) -> int:
        """Items of which something is still to be told."""
        return len(self._items)

    def created(self) -> wire.ServerEvent:
        """Return the first event."""
        if self._beta:
            return wire.BetaSessionCreated(event_id=self._event_id(), session=self._beta_session())
        return wire.SessionCreated(event_id=self._event_id(), session=self._session())

    def react(self, event: ClientEvent) -> Deed:
        """Return what a client's event asks for; tell `did` when it is done. What it sets is set from here on.

        Raises:
            RefusedEventError: It asks for what is not there; nothing has changed.
        """
        try:
            return self._deed(event)
        except RefusedEventError as refusal:
            refusal.event_id = event.event_id
            raise

    def did(self, deed: Deed) -> tuple[wire.ServerEvent, ...]:
        """Return the events for a deed that is done."""
        match deed:
            case Clear():
                if self._open is not None:
                    del self._items[self._open]  # nothing will be told of it any more
                    self._open = None
                return (wire.Cleared(event_id=self._event_id()),)
            case Configure(beta=True):
                return (wire.BetaSessionUpdated(event_id=self._event_id(), session=self._beta_session()),)
            case Configure():
                return (wire.SessionUpdated(event_id=self._event_id(), session=self._session()),)
        return ()

    def refused(self, refusal: RefusedEventError) -> wire.ServerEvent:
        """Return the event for a refusal."""
        error = wire.EventError(
            type=INVALID,
            code=refusal.code,
            message=shortened(str(refusal)),
            param=shortened(refusal.param) if refusal.param else None,
            event_id=refusal.event_id,
        )
        return wire.ErrorEvent(event_id=self._event_id(), error=error)

    def told(self, event: Event) -> tuple[wire.ServerEvent, ...]:
        """Return the events that tell the client what the live session tells."""
        item = self._item(event.utterance)
        match event:
            case Started():
                return (wire.SpeechStarted(event_id=self._event_id(), audio_start_ms=_ms(event.at_s), item_id=item.id),)
            case Stopped():
                return (wire.SpeechStopped(event_id=self._event_id(), audio_end_ms=_ms(event.at_s), item_id=item.id),)
            case HandedOver():
                return self._committed(item)
            case Idle():
                triggered = wire.TimeoutTriggered(
                    event_id=self._event_id(),
                    audio_start_ms=_ms(event.start_s),
                    audio_end_ms=_ms(event.end_s),
                    item_id=item.id,
                )
                del self._items[event.utterance]
                empty = self._completed(item, Transcript(), event.end_s - event.start_s)
                return (triggered, *self._committed(item), *empty)
            case Partial():
                return self._delta(item, event.stable)
            case FinalText() | Failed():
                del self._items[event.utterance]
                return self._ended(item, event)

    def _deed(self, event: ClientEvent) -> Deed:
        if event.type in _UPDATES:
            return self._configured(event.session, beta=_UPDATES[event.type])
        match event.type:
            case "input_audio_buffer.append":
                return Append(event.audio)
            case "input_audio_buffer.commit":
                return Commit()
            case "input_audio_buffer.clear":
                return Clear()
        if event.type in _OF_CONVERSATIONS:
            explained = f"`{event.type}` belongs to conversations; this service transcribes"
            raise RefusedEventError(explained, code="unsupported_value", param="type")
        raise RefusedEventError(f"there is no event `{event.type[:100]}`", code="invalid_event", param="type")

    def _configured(self, update: object, *, beta: bool) -> Configure:
        if not self._dialect_shown:
            self._beta, self._dialect_shown = beta, True
        before = sound_of(self._config)
        self._config = (updated_by_beta if beta else updated_config)(self._config, update, self._served)
        return Configure(other_sound=sound_of(self._config) != before, beta=beta)

    def _session(self) -> SessionObject:
        return session_object(self._config, session_id=self._session_id, expires_unix_s=self._expires_unix_s)

    def _beta_session(self) -> BetaSessionObject:
        return beta_session_object(self._config, session_id=self._session_id, expires_unix_s=self._expires_unix_s)

    def _item(self, utterance: int) -> _Item:
        if utterance not in self._items:
            self._items[utterance] = _Item(id=self._new_id("item_"))
            self._open = utterance
        return self._items[utterance]

    def _committed(self, item: _Item) -> tuple[wire.ServerEvent, ...]:
        before, self._last_item_id, self._open = self._last_item_id, item.id, None
        kinds = (wire.ItemCreated,) if self._beta else (wire.ItemAdded, wire.ItemDone)
        whole = wire.Item(id=item.id)
        return (
            wire.Committed(event_id=self._event_id(), item_id=item.id, previous_item_id=before),
            *(kind(event_id=self._event_id(), previous_item_id=before, item=whole) for kind in kinds),
        )

    def _delta(self, item: _Item, stable: Transcript) -> tuple[wire.ServerEvent, ...]:
        """Tell what of the stable text was not told yet, which is more than what is new if the client wanted no text before."""
        fresh = stable.tokens[item.n_told :]
        if not fresh or not self._config.input.transcription:
            return ()
        item.n_told = len(stable.tokens)
        text = "".join(token.text for token in fresh)
        return (
            wire.TranscriptDelta(
                event_id=self._event_id(),
                item_id=item.id,
                content_index=0,
                delta=text,
                logprobs=log_probabilities(fresh) if self._config.include else None,
            ),
        )

    def _completed(self, item: _Item, transcript: Transcript, duration_s: float) -> tuple[wire.ServerEvent, ...]:
        if not self._config.input.transcription:
            return ()
        return (
            wire.TranscriptCompleted(
                event_id=self._event_id(),
                item_id=item.id,
                content_index=0,
                transcript=transcript.text,
                usage=DurationUsage(seconds=round(duration_s, 3)),
                logprobs=log_probabilities(transcript.tokens) if self._config.include else None,
            ),
        )

    def _ended(self, item: _Item, event: FinalText | Failed) -> tuple[wire.ServerEvent, ...]:
        if isinstance(event, FinalText):
            rest = self._delta(item, event.transcript)
            return (*rest, *self._completed(item, event.transcript, event.end_s - event.start_s))
        if not self._config.input.transcription:
            return ()
        error = body_of_failure(event.failure).error
        failure = wire.TranscriptError(type=error.type, code=error.code, message=error.message, param=error.param)
        return (wire.TranscriptFailed(event_id=self._event_id(), item_id=item.id, content_index=0, error=failure),)

    def _event_id(self) -> str:
        return self._new_id("event_")


def error_event(body: ErrorBody, new_id: Callable[[str], str]) -> wire.ErrorEvent:
    """Return the event for a failure that no event of the client's caused."""
    error = body.error
    told = wire.EventError(type=error.type, code=error.code, message=error.message, param=error.param, event_id=None)
    return wire.ErrorEvent(event_id=new_id("event_"), error=told)


def _ms(time_s: float) -> int:
    return round(1000 * time_s)
