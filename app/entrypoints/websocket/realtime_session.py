"""What a realtime session is set to: OpenAI's session object with its limits, in both dialects, and what follows from it."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ...domain.live_rules import LiveRules
from ...domain.pcm import Encoding
from ...domain.ports import Options
from ...domain.voice_activity import SpanRules

Include = Literal["item.input_audio_transcription.logprobs", "item.input_audio_transcription.avg_logprob"]
BetaFormat = Literal["pcm16", "g711_ulaw", "g711_alaw"]

LONGEST_PROMPT: Final = 16_384  # characters, of what is kept and told again only
SILENCE_MS: Final = {"low": 800, "medium": 500, "high": 300, "auto": 500}  # what stands in for a judgement of meaning


class Pcm(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcm"):
    """Signed 16-bit little-endian samples of one channel; rates other than 24 kHz are our own."""

    rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 24_000


class MuLaw(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcmu"):
    """G.711 mu-law."""

    rate: Literal[8_000] = 8_000


class ALaw(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="audio/pcma"):
    """G.711 A-law."""

    rate: Literal[8_000] = 8_000


class Transcription(msgspec.Struct, frozen=True, kw_only=True):
    """What to write down how. `prompt` and `delay` are told again and change nothing."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    keywords: list[str] | None = None
    prompt: Annotated[str, Meta(max_length=LONGEST_PROMPT)] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class NoiseReduction(msgspec.Struct, frozen=True, kw_only=True):
    """Told again, and changes nothing."""

    type: Literal["near_field", "far_field"] | None = None
    strength: Annotated[float, Meta(ge=0)] | None = None


class ServerVad(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="server_vad"):
    """Utterances end at silence. The last two members are about responses, of which there are none."""

    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=2_000)] = 300
    silence_duration_ms: Annotated[int, Meta(ge=0, le=10_000)] = 200
    idle_timeout_ms: Annotated[int, Meta(ge=5_000, le=30_000)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="semantic_vad"):
    """Utterances end at silence here too, of a length that `eagerness` chooses."""

    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(msgspec.Struct, frozen=True, kw_only=True):
    """How the client's audio is taken. Null: no transcription, no noise reduction, utterances that end by `commit` alone."""

    format: Pcm | MuLaw | ALaw = Pcm()
    transcription: Transcription | None = Transcription()
    noise_reduction: NoiseReduction | None = None
    turn_detection: ServerVad | SemanticVad | None = ServerVad()


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """Of a transcription session there is input alone."""

    input: AudioInput = AudioInput()


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may choose of a session."""

    type: Literal["transcription"] = "transcription"
    audio: Audio = Audio()
    include: list[Include] | None = None

    @property
    def input(self) -> AudioInput:
        return self.audio.input


class SessionObject(SessionConfig, frozen=True, kw_only=True, rename={"kind": "object"}):
    """OpenAI's session object; `expires_at` is null while the session has not begun."""

    id: str
    kind: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    expires_at: int | None


class BetaSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A short-lived secret, and when it expires."""

    value: str
    expires_at: int


class BetaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may choose of a session, as the beta spells it."""

    input_audio_format: BetaFormat = "pcm16"
    input_audio_transcription: Transcription | None = Transcription()
    turn_detection: ServerVad | SemanticVad | None = ServerVad()
    input_audio_noise_reduction: NoiseReduction | None = None
    include: list[Include] | None = None


class BetaSessionObject(BetaConfig, frozen=True, kw_only=True, rename={"kind": "object"}):
    """The beta's session object; a rate that the beta does not have is not told."""

    id: str
    kind: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    expires_at: int | None
    client_secret: BetaSecret | None


def session_object(config: SessionConfig, *, session_id: str, expires_unix_s: int | None) -> SessionObject:
    """Return the session as the server tells it; `expires_unix_s` is None while it has not begun."""
    return SessionObject(id=session_id, expires_at=expires_unix_s, audio=config.audio, include=config.include)


def beta_session_object(
    config: SessionConfig, *, session_id: str, expires_unix_s: int | None, secret: BetaSecret | None = None
) -> BetaSessionObject:
    """Return the session as the server tells it to a client of the beta."""
    sent = config.input
    beta_formats: dict[type, BetaFormat] = {Pcm: "pcm16", MuLaw: "g711_ulaw", ALaw: "g711_alaw"}
    return BetaSessionObject(
        id=session_id,
        expires_at=expires_unix_s,
        input_audio_format=beta_formats[type(sent.format)],
        input_audio_transcription=sent.transcription,
        turn_detection=sent.turn_detection,
        input_audio_noise_reduction=sent.noise_reduction,
        include=config.include,
        client_secret=secret,
    )


def live_rules(config: SessionConfig, *, longest_s: float) -> LiveRules:
    """Return how the session is heard.

    Args:
        longest_s: Of an utterance.
    """
    turns, transcription = config.input.turn_detection, config.input.transcription
    spans, idle_s = None, None
    if isinstance(turns, ServerVad):
        spans = SpanRules(
            threshold=turns.threshold,
            least_silence_s=turns.silence_duration_ms / 1000,
            pad_before_s=turns.prefix_padding_ms / 1000,
        )
        idle_s = None if turns.idle_timeout_ms is None else turns.idle_timeout_ms / 1000
    elif turns:
        usual = ServerVad()
        spans = SpanRules(least_silence_s=SILENCE_MS[turns.eagerness] / 1000, pad_before_s=usual.prefix_padding_ms / 1000)
    keywords = tuple(transcription.keywords or ()) if transcription else ()
    return LiveRules(
        spans=spans,
        longest_s=longest_s,
        partials=transcription is not None,
        idle_s=idle_s,
        options=Options(keywords=keywords),
    )


def sound_of(config: SessionConfig) -> tuple[Encoding, int]:
    """Return the encoding of the client's audio, and its rate in Hz."""
    sent = config.input.format
    encodings: dict[type, Encoding] = {Pcm: "pcm_s16le", MuLaw: "g711_ulaw", ALaw: "g711_alaw"}
    return encodings[type(sent)], sent.rate
