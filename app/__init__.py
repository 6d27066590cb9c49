"""parakeet-stt: self-hosted speech-to-text behind the OpenAI Audio API.

What is named here is the public surface, under semantic versioning; docs/embedding.md describes it. A name is loaded when it is
asked for: importing the package loads none of its parts, and an adapter loads what it stands on when it is built.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from typing import Final as Constant

if TYPE_CHECKING:  # the same names again, for type checkers and editors; a test compares the three lists
    from .adapters.nemo.recognizer import NemoRecognizer
    from .adapters.silero.detector import SileroVoiceDetector
    from .adapters.torchaudio.normalizer import TorchaudioNormalizer
    from .domain.audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip
    from .domain.cancel import CancelToken
    from .domain.errors import (
        AudioRejectedError,
        AudioTooLongError,
        AudioTooShortError,
        CancelledError,
        DeviceFailedError,
        EmptyBufferError,
        ModelNotReadyError,
        ModelUnavailableError,
        OverloadedError,
        RecognitionError,
        SpeechError,
        UnavailableError,
    )
    from .domain.live_events import Event, Failed, Final, HandedOver, Idle, Partial, Started, Stopped
    from .domain.live_rules import LiveRules
    from .domain.pcm import Encoding
    from .domain.ports import (
        AudioNormalizer,
        Block,
        DecodeLimits,
        DeviceMemory,
        Options,
        Recognizer,
        RecognizerFacts,
        Resampler,
        VoiceDetector,
        VoiceStream,
    )
    from .domain.subtitles import srt_of, vtt_of
    from .domain.transcriber import Chunking, FileOptions, Part, Transcriber
    from .domain.transcript import Character, Segment, Token, Transcript, Word
    from .domain.voice_activity import SpanRules, SpeechSpan, VoiceTrack
    from .entrypoints.embedded import SpeechToText, load
    from .entrypoints.mounted import SpeechPlugin, SpeechService
    from .entrypoints.websocket.host import LiveConnection
    from .setting_sources import read_settings
    from .settings import Settings, SettingsError

__all__ = [
    "FRAME_SAMPLES",
    "MODEL_RATE_HZ",
    "AudioNormalizer",
    "AudioRejectedError",
    "AudioTooLongError",
    "AudioTooShortError",
    "Block",
    "CancelToken",
    "CancelledError",
    "Character",
    "Chunking",
    "Clip",
    "DecodeLimits",
    "DeviceFailedError",
    "DeviceMemory",
    "EmptyBufferError",
    "Encoding",
    "Event",
    "Failed",
    "FileOptions",
    "Final",
    "HandedOver",
    "Idle",
    "LiveConnection",
    "LiveRules",
    "ModelNotReadyError",
    "ModelUnavailableError",
    "NemoRecognizer",
    "Options",
    "OverloadedError",
    "Part",
    "Partial",
    "RecognitionError",
    "Recognizer",
    "RecognizerFacts",
    "Resampler",
    "Segment",
    "Settings",
    "SettingsError",
    "SileroVoiceDetector",
    "SpanRules",
    "SpeechError",
    "SpeechPlugin",
    "SpeechService",
    "SpeechSpan",
    "SpeechToText",
    "Started",
    "Stopped",
    "Token",
    "TorchaudioNormalizer",
    "Transcriber",
    "Transcript",
    "UnavailableError",
    "VoiceDetector",
    "VoiceStream",
    "VoiceTrack",
    "Word",
    "load",
    "read_settings",
    "srt_of",
    "vtt_of",
]

_PLACES: Constant = {
    ".adapters.nemo.recognizer": ("NemoRecognizer",),
    ".adapters.silero.detector": ("SileroVoiceDetector",),
    ".adapters.torchaudio.normalizer": ("TorchaudioNormalizer",),
    ".domain.audio": (
        "FRAME_SAMPLES",
        "MODEL_RATE_HZ",
        "Clip",
    ),
    ".domain.cancel": ("CancelToken",),
    ".domain.errors": (
        "AudioRejectedError",
        "AudioTooLongError",
        "AudioTooShortError",
        "CancelledError",
        "DeviceFailedError",
        "EmptyBufferError",
        "ModelNotReadyError",
        "ModelUnavailableError",
        "OverloadedError",
        "RecognitionError",
        "SpeechError",
        "UnavailableError",
    ),
    ".domain.live_events": (
        "Event",
        "Failed",
        "Final",
        "HandedOver",
        "Idle",
        "Partial",
        "Started",
        "Stopped",
    ),
    ".domain.live_rules": ("LiveRules",),
    ".domain.pcm": ("Encoding",),
    ".domain.ports": (
        "AudioNormalizer",
        "Block",
        "DecodeLimits",
        "DeviceMemory",
        "Options",
        "Recognizer",
        "RecognizerFacts",
        "Resampler",
        "VoiceDetector",
        "VoiceStream",
    ),
    ".domain.subtitles": (
        "srt_of",
        "vtt_of",
    ),
    ".domain.transcriber": (
        "Chunking",
        "FileOptions",
        "Part",
        "Transcriber",
    ),
    ".domain.transcript": (
        "Character",
        "Segment",
        "Token",
        "Transcript",
        "Word",
    ),
    ".domain.voice_activity": (
        "SpanRules",
        "SpeechSpan",
        "VoiceTrack",
    ),
    ".entrypoints.embedded": (
        "SpeechToText",
        "load",
    ),
    ".entrypoints.mounted": (
        "SpeechPlugin",
        "SpeechService",
    ),
    ".entrypoints.websocket.host": ("LiveConnection",),
    ".setting_sources": ("read_settings",),
    ".settings": (
        "Settings",
        "SettingsError",
    ),
}
_MODULES: Constant = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
