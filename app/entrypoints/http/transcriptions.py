"""OpenAI's transcription endpoint, and the one of the service this one replaces."""

from typing import Final

import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency

from ...domain.engine import Engine
from ...domain.errors import InvalidRequestError, UnsupportedValueError
from ...domain.transcriber import Transcriber
from ...domain.transcript import Transcript
from ...settings import Settings
from ..bridge import Bridge
from .form import Form
from .openapi import error_responses, form_field, form_operation
from .service import check_model, heard

_FORMATS: Final = ("json", "text")
_FORMATS_REFUSED: Final = ("verbose_json", "srt", "vtt", "diarized_json")


class DurationUsage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """What a transcription is counted by: seconds of audio."""

    seconds: float


class TranscriptionBody(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's `json` format."""

    text: str
    usage: DurationUsage


class WordTime(msgspec.Struct, frozen=True, kw_only=True):
    """A word; times in seconds."""

    word: str
    start: float
    end: float


class SegmentTime(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence; times in seconds."""

    segment: str
    start: float
    end: float


class CharacterTime(msgspec.Struct, frozen=True, kw_only=True):
    """A character; times in seconds."""

    char: str
    start: float
    end: float


class Timestamps(msgspec.Struct, frozen=True, kw_only=True):
    """Every time of a transcript."""

    words: list[WordTime]
    segments: list[SegmentTime]
    chars: list[CharacterTime]


class TranscribeBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `/transcribe`; `timestamps` is there only when asked for."""

    text: str
    timestamps: Timestamps | None = None


_TRANSCRIPTION_FIELDS: Final = {
    "model": form_field("The served model's id, its short name, or an alias. Missing: the served model."),
    "response_format": form_field("How to answer: `json` or `text`.", one_of=_FORMATS, default="json"),
    "stream": form_field("Only `false`: answers come whole.", kind="boolean", default=False),
}
_TRANSCRIBE_FIELDS: Final = {
    "include_timestamps": form_field("Whether to answer times too.", kind="boolean", default=False),
    "should_chunk": form_field("Accepted and ignored: long audio is always cut.", kind="boolean", default=True),
}


@post(
    ["/v1/audio/transcriptions", "/audio/transcriptions"],
    status_code=200,  # Litestar's own default is 201
    operation_class=form_operation(_TRANSCRIPTION_FIELDS),
    responses=error_responses(400, 404, 413, 500, 503),
    tags=["audio"],
)
async def create_transcription(
    form: NamedDependency[Form],
    engine: NamedDependency[Engine],
    transcriber: NamedDependency[Transcriber],
    bridge: NamedDependency[Bridge],
    settings: NamedDependency[Settings],
) -> Response[TranscriptionBody] | Response[str]:
    """Transcribe a file."""
    answer_format = _response_format(form)
    check_model(form.text("model"), engine, settings)
    result = await heard(form, transcriber, bridge)
    if answer_format == "text":
        return Response(result.transcript.text + "\n", media_type=MediaType.TEXT)
    return Response(TranscriptionBody(text=result.transcript.text, usage=DurationUsage(seconds=round(result.duration_s, 3))))


@post(
    "/transcribe",
    status_code=200,
    operation_class=form_operation(_TRANSCRIBE_FIELDS),
    responses=error_responses(400, 413, 500, 503),
    tags=["audio"],
)
async def transcribe(
    form: NamedDependency[Form], transcriber: NamedDependency[Transcriber], bridge: NamedDependency[Bridge]
) -> TranscribeBody:
    """Transcribe a file, in the form of the service this one replaces."""
    wanted = form.flag("include_timestamps")
    transcript = (await heard(form, transcriber, bridge)).transcript
    return TranscribeBody(text=transcript.text, timestamps=_timestamps(transcript) if wanted else None)


def _response_format(form: Form) -> str:
    asked = form.text("response_format") or "json"
    if form.flag("stream"):
        raise UnsupportedValueError("`stream` is not offered: leave it out or send `false`", field="stream")
    if asked in _FORMATS_REFUSED:
        raise UnsupportedValueError(
            f"`response_format` `{asked}` is not offered: send {_listed(_FORMATS)}", field="response_format"
        )
    if asked not in _FORMATS:
        raise InvalidRequestError(f"`response_format` must be {_listed(_FORMATS)}", field="response_format")
    return asked


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _timestamps(transcript: Transcript) -> Timestamps:
    def times(start_s: float, end_s: float) -> dict[str, float]:
        return {"start": round(start_s, 3), "end": round(end_s, 3)}

    return Timestamps(
        words=[WordTime(word=word.text, **times(word.start_s, word.end_s)) for word in transcript.words],
        segments=[SegmentTime(segment=part.text, **times(part.start_s, part.end_s)) for part in transcript.segments],
        chars=[CharacterTime(char=sign.text, **times(sign.start_s, sign.end_s)) for sign in transcript.characters],
    )
