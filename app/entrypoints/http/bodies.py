"""What the audio endpoints answer, built from a transcript. All times in seconds."""

import unicodedata
import zlib
from typing import Any, Final, Literal

import msgspec

from ...domain.subtitles import srt_of, vtt_of
from ...domain.transcriber import Part
from ...domain.transcript import Character, Segment, Token, Transcript, Word, following, opening

Include = Literal["logprobs", "words", "srt", "vtt"]

_AUDIO_TOKENS_PER_S: Final = 10  # what the hosted API counts is not published; this is about what its answers show
_SEEK_PER_S: Final = 100  # Whisper counts the start of a window in frames of 10 ms


class DurationUsage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """What a transcription is counted by: seconds of audio."""

    seconds: float


class InputTokens(msgspec.Struct, frozen=True, kw_only=True):
    """No text is taken in, so all input is audio."""

    text_tokens: int = 0
    audio_tokens: int


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tokens"):
    """The same in tokens, as streams must tell it: ten for each second of audio in, the model's own pieces out."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: InputTokens


class LogProbability(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text, the natural logarithm of the probability the model gave it, and its UTF-8 bytes."""

    token: str
    logprob: float
    bytes: list[int]


class WrittenWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word as the text has it, punctuation included; `logprob` is the mean over its pieces. Our own."""

    word: str
    start: float
    end: float
    logprob: float


class TranscriptionBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenAI's `json` format; `logprobs` are there only when asked for, and so are our own `words`, `srt` and `vtt`."""

    text: str
    logprobs: list[LogProbability] | None = None
    words: list[WrittenWord] | None = None
    srt: str | None = None
    vtt: str | None = None
    usage: DurationUsage


class WordTime(msgspec.Struct, frozen=True, kw_only=True):
    """A word."""

    word: str
    start: float
    end: float


class SegmentTime(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence."""

    segment: str
    start: float
    end: float


class CharacterTime(msgspec.Struct, frozen=True, kw_only=True):
    """A character."""

    char: str
    start: float
    end: float


class VerboseSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, or what was said before a long pause, with the ten fields of the hosted API.

    `seek` is the start of the window it was heard in, in frames of 10 ms; `tokens` are the model's own ids; `avg_logprob` is their
    mean log-probability; `compression_ratio` is the text's length in UTF-8 over that of its zlib compression, above 2.4 where words
    repeat without end; `no_speech_prob` is 1 minus the mean speech probability the voice detector gave the segment's time.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenAI's `verbose_json` format; which times are there follows `timestamp_granularities[]`. `chars` is our own."""

    task: str
    language: str
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[WordTime] | None = None
    chars: list[CharacterTime] | None = None
    usage: DurationUsage


class TranslationBody(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's `json` format of a translation."""

    text: str


class Timestamps(msgspec.Struct, frozen=True, kw_only=True):
    """Every time of a transcript."""

    words: list[WordTime]
    segments: list[SegmentTime]
    chars: list[CharacterTime]


class TranscribeBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `/transcribe`; `timestamps` is there only when asked for."""

    text: str
    timestamps: Timestamps | None = None


class TextDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="transcript.text.delta"):
    """The next piece of the text; all of them joined are the text. `words` are our own."""

    delta: str
    logprobs: list[LogProbability] | None = None
    words: list[WrittenWord] | None = None


class TextDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="transcript.text.done"):
    """The whole text, once, at the end. `words`, `srt` and `vtt` are our own."""

    text: str
    logprobs: list[LogProbability] | None = None
    words: list[WrittenWord] | None = None
    srt: str | None = None
    vtt: str | None = None
    usage: TokenUsage


class Heard:
    """A file's transcript as far as it is there; parts are added in order."""

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._parts: list[Part] = []
        self.duration_s = 0.0
        self.truncated = False

    def add(self, part: Part) -> tuple[Token, ...]:
        """Take the next part; return its tokens as they read after those before."""
        self.duration_s, self.truncated = part.heard_s, part.truncated
        tokens = (following if self._tokens else opening)(part.transcript).tokens
        self._tokens += tokens
        if tokens:
            self._parts.append(part)
        return tokens

    @property
    def transcript(self) -> Transcript:
        return Transcript(tokens=tuple(self._tokens))

    def part_at(self, time_s: float) -> Part:
        """Return the part whose window holds `time_s`, for a time within one of the transcript's segments."""
        return next((part for part in reversed(self._parts) if part.start_s <= time_s), self._parts[0])


def verbose_body(heard: Heard, *, task: str, language: str, granularities: frozenset[str], temperature: float) -> VerboseBody:
    """Answer in `verbose_json`; for segments the parts must have been asked for with their voice."""
    transcript, seconds = heard.transcript, round(heard.duration_s, 3)
    return VerboseBody(
        task=task,
        language=language,
        duration=seconds,
        text=transcript.text,
        segments=_verbose_segments(heard, temperature) if "segment" in granularities else None,
        words=[time for word in transcript.words if (time := _bare_word(word))] if "word" in granularities else None,
        chars=characters(transcript.characters) if "char" in granularities else None,
        usage=DurationUsage(seconds=seconds),
    )


def timestamps(transcript: Transcript) -> Timestamps:
    """Answer every time, as the service this one replaces did."""
    return Timestamps(
        words=[WordTime(word=word.text, **_times(word)) for word in transcript.words],
        segments=[SegmentTime(segment=part.text, **_times(part)) for part in transcript.segments],
        chars=characters(transcript.characters),
    )


def characters(of: tuple[Character, ...]) -> list[CharacterTime]:
    """Answer the times of characters."""
    return [CharacterTime(char=sign.text, **_times(sign)) for sign in of]


def included(transcript: Transcript, include: frozenset[Include]) -> dict[str, Any]:
    """Answer what was asked for with `include[]` of a whole file, by the names of the fields."""
    told = included_in_delta(transcript, include)
    if "srt" in include:
        told["srt"] = srt_of(transcript)
    if "vtt" in include:
        told["vtt"] = vtt_of(transcript)
    return told


def included_in_delta(transcript: Transcript, include: frozenset[Include]) -> dict[str, Any]:
    """Answer what was asked for with `include[]` of a piece of a file; subtitles are made of the whole."""
    told: dict[str, Any] = {}
    if "logprobs" in include:
        told["logprobs"] = log_probabilities(transcript.tokens)
    if "words" in include:
        told["words"] = [
            WrittenWord(word=word.text, **_times(word), logprob=round(word.logprob, 6) + 0.0) for word in transcript.words
        ]
    return told


def log_probabilities(tokens: tuple[Token, ...]) -> list[LogProbability]:
    """Answer the tokens' log-probabilities, -0.0 never."""
    return [
        LogProbability(token=token.text, logprob=round(token.logprob, 6) + 0.0, bytes=list(token.text.encode())) for token in tokens
    ]


def token_usage(heard: Heard) -> TokenUsage:
    """Count a whole file in tokens."""
    audio, text = round(heard.duration_s * _AUDIO_TOKENS_PER_S), len(heard.transcript.tokens)
    return TokenUsage(
        input_tokens=audio, output_tokens=text, total_tokens=audio + text, input_token_details=InputTokens(audio_tokens=audio)
    )


def _verbose_segments(heard: Heard, temperature: float) -> list[VerboseSegment]:
    return [_verbose_segment(i, segment, heard, temperature) for i, segment in enumerate(heard.transcript.segments)]


def _verbose_segment(number: int, segment: Segment, heard: Heard, temperature: float) -> VerboseSegment:
    part, text = heard.part_at(segment.start_s), segment.text
    if part.voice is None:
        raise ValueError("the file was transcribed without its voice")
    return VerboseSegment(
        id=number,
        seek=round(part.start_s * _SEEK_PER_S),
        **_times(segment),
        text=f" {text}",
        tokens=[token.id for token in segment.tokens],
        temperature=temperature,
        avg_logprob=round(sum(token.logprob for token in segment.tokens) / len(segment.tokens), 6) + 0.0,
        compression_ratio=round(len(text.encode()) / len(zlib.compress(text.encode())), 4),
        no_speech_prob=round(1 - part.voice.mean(segment.start_s, segment.end_s), 6),
    )


def _bare_word(word: Word) -> WordTime | None:
    """A word without the punctuation around it, as the hosted API gives it; None of punctuation alone."""
    signs = "".join({sign for sign in word.text if unicodedata.category(sign).startswith("P")})
    bare = word.text.strip(signs)
    return WordTime(word=bare, **_times(word)) if bare else None


def _times(of: Word | Segment | Character) -> dict[str, float]:
    return {"start": round(of.start_s, 3), "end": round(of.end_s, 3)}
