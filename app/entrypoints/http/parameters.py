"""The fields of OpenAI's audio endpoints, read from a form: one function for each, and one refusal for each that is wrong."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from ...domain.errors import InvalidRequestError, UnsupportedValueError
from ...domain.ports import Options
from ...domain.transcriber import Chunking
from ...domain.voice_activity import SpanRules
from .bodies import Include
from .form import Form

Format = Literal["json", "text", "srt", "vtt", "verbose_json"]

FORMATS: Final[tuple[Format, ...]] = ("json", "text", "srt", "vtt", "verbose_json")
GRANULARITIES: Final = ("segment", "word", "char")
INCLUDED: Final[tuple[Include, ...]] = get_args(Include)
MOST_KEYWORDS: Final = 100
LONGEST_KEYWORD: Final = 100  # characters
_LANGUAGE_NAMES: Final = {"en": "english"}  # the hosted API names the language in words


class TranscriptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, checked."""

    answer_format: Format = "json"
    granularities: frozenset[str] = frozenset({"segment"})
    include: frozenset[Include] = frozenset()
    stream: bool = False
    temperature: float = 0.0  # accepted and echoed: a greedy decoder has none
    recognition: Options = Options()
    chunking: Chunking | None = None


class VoiceActivity(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's `VadConfig` with its defaults; the upper limits are ours."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=2_000)] = 300
    silence_duration_ms: Annotated[int, Meta(ge=0, le=10_000)] = 200


def read_transcription(form: Form, *, languages: tuple[str, ...]) -> TranscriptionRequest:
    """Read every field of a transcription but the file and the model.

    What the model cannot use is ignored (`prompt`, `known_speaker_*`, unknown fields); what would change the answer's shape is
    refused.

    Args:
        languages: What the model speaks, ISO 639-1.

    Raises:
        InvalidRequestError: A field is wrong; it is named, with what it may be.
        UnsupportedValueError: The fields do not go together, or one asks for what is not offered.
    """
    answer_format = read_format(form)
    stream = form.flag("stream")
    asked = _listed(form, "include", INCLUDED)
    include = frozenset(name for name in INCLUDED if name in asked)
    if stream and answer_format != "json":
        raise UnsupportedValueError(f"`stream` gives events of `json` alone, not `{answer_format}`", field="stream")
    if include and answer_format != "json":
        raise UnsupportedValueError(f"`include[]` goes with `json` alone, not `{answer_format}`", field="include")
    for field in ("language", "languages"):
        check_language(form.names(field), languages, field=field)
    return TranscriptionRequest(
        answer_format=answer_format,
        granularities=frozenset(_listed(form, "timestamp_granularities", GRANULARITIES)) or frozenset({"segment"}),
        include=include,
        stream=stream,
        temperature=read_temperature(form),
        recognition=Options(keywords=checked_keywords(form.texts("keywords"), name="keywords[]", field="keywords")),
        chunking=_chunking(form),
    )


def read_format(form: Form) -> Format:
    """Read `response_format`."""
    asked = form.text("response_format") or "json"
    if asked == "diarized_json":
        raise UnsupportedValueError("`diarized_json` is not offered: speakers are not told apart", field="response_format")
    for offered in FORMATS:
        if asked == offered:
            return offered
    raise InvalidRequestError(f"`response_format` must be {_either(FORMATS)}", field="response_format")


def read_temperature(form: Form) -> float:
    """Read `temperature`: 0 to 1."""
    try:
        temperature = float(form.text("temperature") or "0")
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature <= 1:  # nan included
        raise InvalidRequestError("`temperature` must be a number from 0 to 1", field="temperature")
    return temperature


def checked_keywords(sent: Iterable[str], *, name: str, field: str) -> tuple[str, ...]:
    """Return what recognition shall lean towards: spaces put in order, what is empty or was sent twice left out.

    Args:
        name: What the client calls the list, for the refusal.

    Raises:
        InvalidRequestError: There are too many, or one is too long; it names `field`.
    """
    keywords = tuple(dict.fromkeys(tidy for keyword in sent if (tidy := " ".join(keyword.split()))))
    if len(keywords) > MOST_KEYWORDS:
        raise InvalidRequestError(f"`{name}` may hold at most {MOST_KEYWORDS}, not {len(keywords)}", field=field)
    if any(len(keyword) > LONGEST_KEYWORD for keyword in keywords):
        raise InvalidRequestError(f"each of `{name}` may have at most {LONGEST_KEYWORD} characters", field=field)
    return keywords


def language_name(code: str) -> str:
    """Return the name the hosted API gives a language, `english` for `en`."""
    return _LANGUAGE_NAMES.get(code, code)


def _listed(form: Form, field: str, known: tuple[str, ...]) -> list[str]:
    asked = form.names(field)
    if any(name not in known for name in asked):
        raise InvalidRequestError(f"`{field}[]` may hold {_either(known)}", field=field)
    return asked


def check_language(asked: Sequence[str], languages: tuple[str, ...], *, field: str) -> None:
    """Accept `en`, `en-US`, `English` and nothing at all; of several one that is spoken suffices.

    Raises:
        InvalidRequestError: The model speaks none of them; it names `field`.
    """
    if asked and not any(_speaks(name, languages) for name in asked):
        spoken = ", ".join(f"{code} ({language_name(code)})" for code in languages)
        raise InvalidRequestError(f"the model does not speak `{asked[0][:50]}`; it speaks {spoken}", field=field)


def _speaks(asked: str, languages: tuple[str, ...]) -> bool:
    name = asked.lower().replace("_", "-")
    return any(name == language_name(code) or name.partition("-")[0] == code for code in languages)


def _chunking(form: Form) -> Chunking | None:
    """Read `chunking_strategy`: `auto`, an object as `chunking_strategy[type]` and so on, or the object as JSON."""
    members: dict[str, Any] = dict(form.members("chunking_strategy"))
    whole = (form.text("chunking_strategy") or "").strip()
    try:
        if not members:
            if whole in ("", "null"):
                return None
            if whole in ("auto", '"auto"'):
                return Chunking()
            asked = msgspec.json.decode(whole, type=VoiceActivity)
        else:
            asked = msgspec.convert(members, VoiceActivity, strict=False)
    except (msgspec.DecodeError, RecursionError) as fault:  # of JSON, and of what it says
        raise InvalidRequestError(
            f"`chunking_strategy` must be `auto` or an object of type `server_vad`: {fault}", field="chunking_strategy"
        ) from fault
    return Chunking(
        spans=SpanRules(
            threshold=asked.threshold,
            pad_before_s=asked.prefix_padding_ms / 1000,
            least_silence_s=asked.silence_duration_ms / 1000,
        )
    )


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)
