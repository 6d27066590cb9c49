"""Speech spans into the windows a recogniser is given."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from .audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from .ports import VoiceDetector
from .voice_activity import SpanFinder, SpanRules, SpeechSpan, StretchListener

_STRETCH_SAMPLES: Final = 625 * FRAME_SAMPLES  # 20 s: what is listened to at a time


class Window(msgspec.Struct, frozen=True, eq=False):
    """A stretch of a file for the recogniser: `clip` begins `start_s` seconds into the file."""

    clip: Clip
    start_s: float


class WindowCutter:
    """Cuts a file into windows of at most `longest_s` while it comes in; holds no more than two windows and a stretch of it.

    Cuts fall into pauses. Speech that goes on for a whole window is cut where the voice detector doubted most.
    """

    def __init__(self, detector: VoiceDetector, *, rules: SpanRules, longest_s: float) -> None:
        self._listener = StretchListener(detector)
        self._finder = SpanFinder(msgspec.structs.replace(rules, longest_s=longest_s))
        self._longest_s = longest_s
        self._held = np.zeros(0, np.float32)  # samples from `_held_from` on
        self._held_from = 0
        self._heard = 0  # samples the detector has heard
        self._open: SpeechSpan | None = None  # the window being filled: from its first span's start to its last one's end

    def push(self, samples: Samples) -> Iterator[Window]:
        """Take the next samples of the file; yield the windows they complete."""
        self._held = np.concatenate([self._held, samples])
        while self._held_from + self._held.size - self._heard >= _STRETCH_SAMPLES:
            yield from self._pack(self._listen(_STRETCH_SAMPLES))
            self._forget(self._finder.settled_s if self._open is None else self._open.start_s)

    def finish(self) -> Iterator[Window]:
        """Yield what is left."""
        left = self._held_from + self._held.size - self._heard
        yield from self._pack((*self._listen(left), *self._finder.finish()))
        if self._open is not None:
            yield self._window(self._open)

    def _listen(self, n_samples: int) -> tuple[SpeechSpan, ...]:
        at = self._heard - self._held_from
        self._heard += n_samples
        return self._finder.push(self._listener.push(self._held[at : at + n_samples]))

    def _pack(self, spans: tuple[SpeechSpan, ...]) -> Iterator[Window]:
        for span in spans:
            if self._open is not None and span.end_s - self._open.start_s <= self._longest_s:
                self._open = SpeechSpan(start_s=self._open.start_s, end_s=span.end_s)
                continue
            if self._open is not None:
                yield self._window(self._open)
            self._open = span
        if self._open is not None and self._finder.settled_s - self._open.start_s > self._longest_s:
            yield self._window(self._open)  # nothing that may still come fits into it
            self._open = None

    def _window(self, span: SpeechSpan) -> Window:
        first, last = (round(at_s * MODEL_RATE_HZ) - self._held_from for at_s in (span.start_s, span.end_s))
        return Window(Clip(self._held[first:last].copy()), span.start_s)

    def _forget(self, before_s: float) -> None:
        n_samples = min(round(before_s * MODEL_RATE_HZ), self._heard) - self._held_from
        self._held = self._held[n_samples:]
        self._held_from += n_samples
