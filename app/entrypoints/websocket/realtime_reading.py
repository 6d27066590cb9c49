"""Reading what a client of the realtime protocol sends: frames in, events with their sound decoded out."""

import binascii
from typing import Final

import msgspec

from .realtime_updates import RefusedEventError

MOST_AUDIO_BYTES: Final = 15 * 1024 * 1024  # of one append, decoded
_LONGEST_ID: Final = 512  # characters of a client's `event_id`, as of the hosted API; a longer one is not told back


class ClientEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the client's, of whatever type."""

    type: str
    event_id: str | None
    session: object = None
    audio: bytes = b""


def read_event(frame: str | bytes) -> ClientEvent:
    """Read what the client sent; a large frame takes some time.

    Raises:
        RefusedEventError: It is no JSON object with a `type`, or its audio is no base64 or too much.
    """
    try:
        body = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RefusedEventError("what was sent is no JSON; send events as JSON text", code="invalid_event") from fault
    if not isinstance(body, dict):
        raise RefusedEventError("an event must be a JSON object", code="invalid_event")
    named = body.get("event_id")
    event_id = named if isinstance(named, str) and len(named) <= _LONGEST_ID else None
    kind = body.get("type")
    if not isinstance(kind, str):
        raise RefusedEventError("an event needs a `type`", code="invalid_event", param="type", event_id=event_id)
    try:
        audio = _audio(body.get("audio")) if kind == "input_audio_buffer.append" else b""
    except RefusedEventError as refusal:
        refusal.event_id = event_id
        raise
    return ClientEvent(type=kind, event_id=event_id, session=body.get("session"), audio=audio)


def _audio(sent: object) -> bytes:
    if not isinstance(sent, str):
        raise RefusedEventError("`audio` must be a string of base64", param="audio")
    if len(sent) * 3 // 4 > MOST_AUDIO_BYTES + 2:  # the last of it may be padding
        raise _too_much_audio()
    try:
        data = binascii.a2b_base64(sent, strict_mode=True)
    except ValueError as fault:
        raise RefusedEventError("`audio` is not valid base64", param="audio") from fault
    if len(data) > MOST_AUDIO_BYTES:
        raise _too_much_audio()
    return data


def _too_much_audio() -> RefusedEventError:
    return RefusedEventError(f"`audio` may hold at most {MOST_AUDIO_BYTES} bytes; send it in parts", param="audio")
