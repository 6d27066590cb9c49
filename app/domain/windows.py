"""Speech spans into the windows a recogniser is given, and the times of a window back onto the file."""

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Final

import msgspec
import numpy as np

from .audio import FRAME_S, FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from .pauses import BLOCK_SAMPLES, PauseEar
from .ports import VoiceDetector
from .transcript import Token, Transcript, grouped, word_of
from .voice_activity import SpanFinder, SpanRules, SpeechSpan, VoiceTrack

OVERLAP_S: Final = 4.0  # of two windows where nobody pauses: longer than any word, with two seconds of context for each of them
_SEARCH_S: Final = 10.0  # the last part of a window in which a pause is looked for; few people speak that long without one
LONGEST_PAUSE_S: Final = 2.0  # a longer one inside a window is shortened to `_KEPT_PAUSE_S`
_KEPT_PAUSE_S: Final = 1.0  # half of it on either side: no word is told so wrongly that its time falls onto the wrong one


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Silence that was left out of a window's clip at `at_s`, seconds from the clip's start; a whole number of frames long."""

    at_s: float
    duration_s: float


class Window(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A stretch of a file for the recogniser: `clip` begins `start_s` seconds into the file."""

    clip: Clip
    start_s: float
    left_out: tuple[Pause, ...] = ()  # in order
    next_start_s: float | None = None  # where the next window begins, if that is before this one's end

    @property
    def end_s(self) -> float:
        return self.start_s + self.clip.duration_s + sum(pause.duration_s for pause in self.left_out)

    def on_file(self, said: Transcript) -> Transcript:
        """Return what was said in the clip with the times of the file; no word reaches across silence that was left out."""
        if not self.left_out:
            return said.shifted(self.start_s)
        return Transcript(tokens=tuple(token for group in grouped(said.tokens) for token in self._on_file(group)))

    def _on_file(self, group: list[Token]) -> Iterator[Token]:
        word, cuts = word_of(group), [0.0, *(pause.at_s for pause in self.left_out), self.clip.duration_s]
        piece = bisect(cuts, (word.start_s + word.end_s) / 2, 1, len(cuts) - 1) - 1  # the word belongs where its middle is
        by_s = self.start_s + sum(pause.duration_s for pause in self.left_out[:piece])
        for token in group:
            start_s, end_s = (min(max(time_s, cuts[piece]), cuts[piece + 1]) for time_s in (token.start_s, token.end_s))
            yield msgspec.structs.replace(token, start_s=start_s + by_s, end_s=end_s + by_s)

    def voice_on_file(self, probabilities: Samples) -> VoiceTrack:
        """Return how likely speech is over the window's time on the file, silent where it was left out.

        Args:
            probabilities: Of the clip's frames.
        """
        lengths = [round(pause.duration_s / FRAME_S) for pause in self.left_out]
        places = [round(pause.at_s / FRAME_S) for pause in self.left_out]
        return VoiceTrack(self.start_s, np.insert(probabilities, np.repeat(places, lengths).astype(np.intp), 0.0))


class WindowCutter:
    """Cuts a file into windows of at most `longest_s` while it comes in; holds no more of it than two windows and one push.

    A window ends with the first pause of its last part, and long pauses inside it are left out. Where nobody pauses in that part,
    which is ten seconds of thirty, it ends where the voice detector doubted most, and overlaps with the next one around that point.
    """

    def __init__(self, detector: VoiceDetector, *, rules: SpanRules, longest_s: float, packed: bool = True) -> None:
        """Begin a file. `packed` puts spans together while they fit into a window; else each span is a window of its own."""
        overlap_s = min(OVERLAP_S, longest_s / 4)
        span_s = longest_s - overlap_s
        self._finder = SpanFinder(msgspec.structs.replace(rules, longest_s=span_s))
        self._ear = PauseEar(detector, thorough=not packed)
        self._longest_s, self._reach_s, self._packed = longest_s, overlap_s / 2, packed
        self._enough_s = max(span_s - _SEARCH_S, span_s / 2)  # from here on a window ends with the next pause
        self._held = np.zeros(0, np.float32)  # samples from `_held_from` on
        self._held_from = 0
        self._n_heard = 0  # samples the ear was given; it lags behind, as an overlap reaches past what is cut
        self._open: list[SpeechSpan] = []  # of the window being filled, which begins at `_open_from_s`
        self._open_from_s = 0.0
        self._next_start_s: float | None = None  # where the next window begins if the last one overlaps with it

    def push(self, samples: Samples) -> Iterator[Window]:
        """Take the next samples of the file; yield the windows they complete."""
        self._held = np.concatenate([self._held, samples])
        while self._n_unheard >= BLOCK_SAMPLES + _sample(self._reach_s):
            yield from self._hear(BLOCK_SAMPLES)
        self._forget()

    def finish(self) -> Iterator[Window]:
        """Yield what is left."""
        while self._n_unheard:
            yield from self._hear(min(BLOCK_SAMPLES, self._n_unheard))
        yield from self._pack(self._finder.finish())
        if self._open:
            yield self._close()

    @property
    def _n_unheard(self) -> int:
        return self._held_from + self._held.size - self._n_heard

    def _hear(self, n_samples: int) -> Iterator[Window]:
        first = self._n_heard - self._held_from
        block = self._held[first : first + n_samples]
        if unfilled := -n_samples % FRAME_SAMPLES:  # the file's last frame
            block = np.pad(block, (0, unfilled))
        begun_s = self._open_from_s if self._open else self._finder.settled_s
        self._n_heard += n_samples
        spans = self._finder.push(self._ear.hear(block, closely=self._finder.now_s - begun_s >= self._enough_s))
        yield from self._pack(spans)

    def _pack(self, spans: tuple[SpeechSpan, ...]) -> Iterator[Window]:
        for span in spans:
            if self._open and self._end_s(span) - self._open_from_s > self._longest_s:
                yield self._close()
            if not self._open:
                self._open_from_s = span.start_s if self._next_start_s is None else self._next_start_s
            self._open.append(span)
            if span.goes_on or not self._packed or span.end_s - self._open_from_s >= self._enough_s:
                yield self._close()
        if self._open and self._finder.now_s - self._open_from_s > self._longest_s:
            yield self._close()  # nothing that may still come belongs into it

    def _end_s(self, span: SpeechSpan) -> float:
        return span.end_s + self._reach_s if span.goes_on else span.end_s

    def _close(self) -> Window:
        spans, self._open = self._open, []
        first = _sample(self._open_from_s)
        end = min(_sample(self._end_s(spans[-1])), self._held_from + self._held.size)
        cuts = [first, *(cut for before, after in pairwise(spans) for cut in _left_out(before, after, first)), end]
        kept = [
            self._held[start - self._held_from : stop - self._held_from] for start, stop in zip(cuts[::2], cuts[1::2], strict=True)
        ]
        places = accumulate(piece.size for piece in kept)
        out = [(stop - start) / MODEL_RATE_HZ for start, stop in zip(cuts[1:-1:2], cuts[2:-1:2], strict=True)]
        self._next_start_s = _on_sample(spans[-1].end_s - self._reach_s) if spans[-1].goes_on else None
        return Window(
            clip=Clip(np.concatenate(kept)),
            start_s=first / MODEL_RATE_HZ,
            left_out=tuple(Pause(at_s=at / MODEL_RATE_HZ, duration_s=lost_s) for at, lost_s in zip(places, out, strict=False)),
            next_start_s=self._next_start_s,
        )

    def _forget(self) -> None:
        needed_s = self._open_from_s if self._open else self._finder.settled_s if self._next_start_s is None else self._next_start_s
        n_samples = max(0, _sample(needed_s) - self._held_from)
        self._held = self._held[n_samples:]
        self._held_from += n_samples


def _left_out(before: SpeechSpan, after: SpeechSpan, first: int) -> tuple[int, ...]:
    """First sample and end of what is left out between two spans: whole frames, counted from `first`; none of a short pause."""
    if after.start_s - before.end_s <= LONGEST_PAUSE_S:
        return ()
    start = _sample(before.end_s + _KEPT_PAUSE_S / 2)
    start += (first - start) % FRAME_SAMPLES
    n_samples = _sample(after.start_s - _KEPT_PAUSE_S / 2) - start
    return start, start + n_samples // FRAME_SAMPLES * FRAME_SAMPLES


def _sample(time_s: float) -> int:
    return round(time_s * MODEL_RATE_HZ)


def _on_sample(time_s: float) -> float:
    return _sample(time_s) / MODEL_RATE_HZ
