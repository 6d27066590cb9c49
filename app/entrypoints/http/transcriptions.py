"""OpenAI's audio endpoints, and the one of the service this one replaces."""

import asyncio
from typing import Final

from litestar import MediaType, Response, post
from litestar.di import NamedDependency

from ...domain.engine import Engine
from ...domain.transcriber import FileOptions, Transcriber
from ...settings import Settings
from ..bridge import Bridge
from ..errors import ErrorBody
from ..rates import Meter
from ..rendering import rendered
from .bodies import (
    Heard,
    TextDelta,
    TextDone,
    TranscribeBody,
    TranscriptionBody,
    TranslationBody,
    VerboseBody,
    timestamps,
)
from .form import Form
from .openapi import error_responses, form_field, form_operation
from .parameters import (
    FORMATS,
    GRANULARITIES,
    INCLUDED,
    LONGEST_KEYWORD,
    MOST_KEYWORDS,
    TranscriptionRequest,
    VoiceActivity,
    read_format,
    read_temperature,
    read_transcription,
)
from .service import check_model, heard, parts_of
from .streaming import EVENT_STREAM, EventStream, streamed

_VTT: Final = "text/vtt"
_MODEL = form_field("The served model's id, its short name, or an alias. Missing: the served model.")
_FORMAT = form_field("How to answer. `srt`, `vtt` and `text` are bare text.", one_of=FORMATS, default="json")
_PROMPT = form_field("Accepted and ignored: this model takes no prompt.")
_TEMPERATURE = form_field(
    "Checked and echoed: decoding is greedy, so it changes nothing.", kind="number", least=0, most=1, default=0
)
_TRANSCRIPTION_FIELDS: Final = {
    "model": _MODEL,
    "language": form_field("A language the model speaks, as code (`en`, `en-US`) or name; empty or missing is fine."),
    "languages[]": form_field("Languages of which the model must speak one.", many=True),
    "keywords[]": form_field(
        "Words and phrases that may well be said, as they should be written: recognition leans towards them.",
        many=True,
        most=MOST_KEYWORDS,
        longest=LONGEST_KEYWORD,
    ),
    "prompt": _PROMPT,
    "response_format": _FORMAT,
    "temperature": _TEMPERATURE,
    "include[]": form_field(
        "Adds to `json` and to events: `logprobs` the log-probabilities of tokens; and, our own, `words` their times and"
        " log-probabilities, `srt` and `vtt` subtitles.",
        one_of=INCLUDED,
        many=True,
    ),
    "timestamp_granularities[]": form_field(
        "Which times `verbose_json` has: `segment` if nothing is asked for. `char` is an extension.",
        one_of=GRANULARITIES,
        many=True,
    ),
    "stream": form_field("Answer `json` as server-sent events.", kind="boolean", default=False),
    "chunking_strategy": form_field(
        "`auto`, or an object as JSON; its members may also be sent as fields `chunking_strategy[threshold]` and so on. With an"
        " object every span of speech is recognised by itself.",
        one_of=("auto",),
        or_object=VoiceActivity,
    ),
    "known_speaker_names[]": form_field("Accepted and ignored: speakers are not told apart.", many=True),
    "known_speaker_references[]": form_field("Accepted and ignored: speakers are not told apart.", many=True),
}
_TRANSLATION_FIELDS: Final = {
    "model": _MODEL, "prompt": _PROMPT, "response_format": _FORMAT, "temperature": _TEMPERATURE,
}  # fmt: skip
_TRANSCRIBE_FIELDS: Final = {
    "include_timestamps": form_field("Whether to answer times too.", kind="boolean", default=False),
    "should_chunk": form_field("Accepted and ignored: long audio is always cut.", kind="boolean", default=True),
}
BODIES: Final = (VoiceActivity, TranscriptionBody, VerboseBody, TranslationBody, TextDelta, TextDone)  # for the API's document
_MEDIA_TYPES: Final = {"json": MediaType.JSON, "verbose_json": MediaType.JSON, "vtt": _VTT}
_TEXTS: Final = {MediaType.TEXT: (str,), _VTT: (str,)}


@post(
    ["/v1/audio/transcriptions", "/audio/transcriptions"],
    status_code=200,  # Litestar's own default is 201
    operation_class=form_operation(
        _TRANSCRIPTION_FIELDS,
        answers={"application/json": (TranscriptionBody, VerboseBody), **_TEXTS, EVENT_STREAM: (TextDelta, TextDone, ErrorBody)},
    ),
    responses=error_responses(400, 401, 404, 408, 413, 429, 500, 503),
    tags=["audio"],
)
async def create_transcription(
    form: NamedDependency[Form],
    *,
    engine: NamedDependency[Engine],
    transcriber: NamedDependency[Transcriber],
    bridge: NamedDependency[Bridge],
    settings: NamedDependency[Settings],
    meter: NamedDependency[Meter],
) -> Response[TranscriptionBody | VerboseBody | str] | EventStream:
    """Transcribe a file."""
    languages = engine.recognizer().facts.languages
    request = read_transcription(form, languages=languages)
    check_model(form.text("model"), engine, settings)
    if request.stream:
        parts = parts_of(form.take_upload(), _file_options(request), transcriber, bridge, meter)
        return await streamed(parts, include=request.include)
    result = await heard(form, _file_options(request), transcriber, bridge, meter)
    return await _answer(result, request, language=languages[0])


@post(
    ["/v1/audio/translations", "/audio/translations"],
    status_code=200,
    operation_class=form_operation(_TRANSLATION_FIELDS, answers={"application/json": (TranslationBody, VerboseBody), **_TEXTS}),
    responses=error_responses(400, 401, 404, 408, 413, 429, 500, 503),
    tags=["audio"],
)
async def create_translation(
    form: NamedDependency[Form],
    *,
    engine: NamedDependency[Engine],
    transcriber: NamedDependency[Transcriber],
    bridge: NamedDependency[Bridge],
    settings: NamedDependency[Settings],
    meter: NamedDependency[Meter],
) -> Response[TranslationBody] | Response[TranscriptionBody | VerboseBody | str]:
    """Write English speech down in English: the model hears no other language, so a translation is the transcription."""
    request = TranscriptionRequest(answer_format=read_format(form), temperature=read_temperature(form))
    check_model(form.text("model"), engine, settings)
    result = await heard(form, _file_options(request), transcriber, bridge, meter)
    if request.answer_format == "json":
        return Response(TranslationBody(text=result.transcript.text))
    return await _answer(result, request, language="en", task="translate")


@post(
    "/transcribe",
    status_code=200,
    operation_class=form_operation(_TRANSCRIBE_FIELDS),
    responses=error_responses(400, 401, 408, 413, 429, 500, 503),
    tags=["audio"],
)
async def transcribe(
    form: NamedDependency[Form],
    *,
    transcriber: NamedDependency[Transcriber],
    bridge: NamedDependency[Bridge],
    meter: NamedDependency[Meter],
) -> TranscribeBody:
    """Transcribe a file, in the form of the service this one replaces."""
    wanted = form.flag("include_timestamps")
    transcript = (await heard(form, FileOptions(), transcriber, bridge, meter)).transcript
    times = await asyncio.to_thread(timestamps, transcript) if wanted else None
    return TranscribeBody(text=transcript.text, timestamps=times)


def _file_options(request: TranscriptionRequest) -> FileOptions:
    voice = request.answer_format == "verbose_json" and "segment" in request.granularities  # for `no_speech_prob`, which costs time
    return FileOptions(recognition=request.recognition, chunking=request.chunking, voice=voice)


async def _answer(
    result: Heard, request: TranscriptionRequest, *, language: str, task: str = "transcribe"
) -> Response[TranscriptionBody | VerboseBody | str]:
    body = await asyncio.to_thread(rendered, result, request, language=language, task=task)  # of hours it takes seconds
    return Response(body, media_type=_MEDIA_TYPES.get(request.answer_format, MediaType.TEXT))
