"""How a live session is heard: what its client chooses, and what it sends."""

import msgspec

from .pcm import Encoding
from .ports import Options, Resampler
from .voice_activity import SpanRules


class LiveRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one session is heard; the client chooses, within what the way in allows."""

    spans: SpanRules | None = SpanRules(least_silence_s=0.5, pad_before_s=0.3)  # where utterances end; None: by `commit` alone
    longest_s: float = 30.0  # of an utterance; the recogniser's longest clip may be shorter
    partials: bool = False
    partial_every_s: float = 0.2  # at best
    idle_s: float | None = None  # tell when nobody has spoken for this long, in seconds of the session's sound
    options: Options = Options()


class Sound(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the client sends: one channel in an encoding, and what brings it to `MODEL_RATE_HZ`."""

    encoding: Encoding
    resampler: Resampler
