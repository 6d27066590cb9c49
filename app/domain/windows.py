"""Speech spans into the windows a recogniser is given."""

from collections.abc import Iterator

import msgspec
import numpy as np

from .audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from .ports import VoiceDetector
from .voice_activity import SpanFinder, SpanRules, SpeechSpan


class Window(msgspec.Struct, frozen=True, eq=False):
    """A stretch of a file for the recogniser: `clip` begins `start_s` seconds into the file."""

    clip: Clip
    start_s: float


class WindowCutter:
    """Cuts a file into windows of at most `longest_s` while it comes in; holds no more of it than two windows and one push.

    Cuts fall into pauses. Speech that goes on for a whole window is cut where the voice detector doubted most.
    """

    def __init__(self, detector: VoiceDetector, *, rules: SpanRules, longest_s: float, packed: bool = True) -> None:
        """Begin a file. `packed` puts spans together while they fit into a window; else each span is a window of its own."""
        self._ear = detector.open_stream()
        self._finder = SpanFinder(msgspec.structs.replace(rules, longest_s=longest_s))
        self._longest_s = longest_s
        self._packed = packed
        self._held = np.zeros(0, np.float32)  # samples from `_held_from` on
        self._held_from = 0
        self._open: SpeechSpan | None = None  # the window being filled: from its first span's start to its last one's end

    def push(self, samples: Samples) -> Iterator[Window]:
        """Take the next samples of the file; yield the windows they complete."""
        self._held = np.concatenate([self._held, samples])
        yield from self._pack(self._finder.push(self._ear.push(samples)))
        self._forget(self._finder.settled_s if self._open is None else self._open.start_s)

    def finish(self) -> Iterator[Window]:
        """Yield what is left."""
        unfilled = -(self._held_from + self._held.size) % FRAME_SAMPLES  # of the last frame; the detector answers whole ones
        last = self._finder.push(self._ear.push(np.zeros(unfilled, np.float32)))
        yield from self._pack((*last, *self._finder.finish()))
        if self._open is not None:
            yield self._window(self._open)

    def _pack(self, spans: tuple[SpeechSpan, ...]) -> Iterator[Window]:
        for span in spans:
            if self._packed and self._open is not None and span.end_s - self._open.start_s <= self._longest_s:
                self._open = SpeechSpan(start_s=self._open.start_s, end_s=span.end_s)
                continue
            if self._open is not None:
                yield self._window(self._open)
            self._open = span
        if self._open is not None and (not self._packed or self._finder.settled_s - self._open.start_s > self._longest_s):
            yield self._window(self._open)  # nothing that may still come belongs into it
            self._open = None

    def _window(self, span: SpeechSpan) -> Window:
        first, last = (round(at_s * MODEL_RATE_HZ) - self._held_from for at_s in (span.start_s, span.end_s))
        return Window(Clip(self._held[first:last].copy()), span.start_s)

    def _forget(self, before_s: float) -> None:
        n_samples = max(0, round(before_s * MODEL_RATE_HZ) - self._held_from)
        self._held = self._held[n_samples:]
        self._held_from += n_samples
