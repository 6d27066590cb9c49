"""Speech probabilities in, speech spans out: one state machine for files and live audio."""

import math
from collections import deque
from typing import Final

import msgspec

from .audio import FRAME_S, Samples

_HYSTERESIS: Final = 0.15  # speech goes on until the probability is this much under the threshold (Silero's own rule)
_SEARCH_S: Final = 5.0  # the last part of too long speech in which its cut is looked for


class SpanRules(msgspec.Struct, frozen=True, kw_only=True):
    """How spans are cut out of probabilities. The defaults are Silero's, but for the silence: files want fewer, longer spans."""

    threshold: float = 0.5  # probability from which a frame is speech, (0, 1)
    least_silence_s: float = 0.3  # shorter pauses do not end a span
    least_speech_s: float = 0.1  # shorter bursts are no speech
    pad_before_s: float = 0.2  # kept before speech, where the neighbour leaves room
    pad_after_s: float = 0.2  # and after it
    longest_s: float = math.inf  # longer speech is cut where the detector doubted most in its last part

    def __post_init__(self) -> None:
        if self.longest_s < 1 + self.pad_before_s + self.pad_after_s:
            pads = f"{self.pad_before_s} s and {self.pad_after_s} s"
            raise ValueError(f"a span of {self.longest_s} s leaves too little room for speech between pads of {pads}")


class SpeechSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Where someone speaks: [start_s, end_s), seconds from the start of the audio."""

    start_s: float
    end_s: float
    goes_on: bool = False  # nobody paused: it was cut for its length, and the next span begins where it ends

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(f"span must run forward from zero: {self.start_s}..{self.end_s}")


class VoiceTrack(msgspec.Struct, frozen=True, eq=False):
    """How likely speech is: float32, one probability for each frame of `FRAME_S` from `start_s` on, within [0.0, 1.0]."""

    start_s: float
    probabilities: Samples

    def mean(self, start_s: float, end_s: float) -> float:
        """Return the mean over the frames that [start_s, end_s) touches; at least one, the nearest."""
        last = self.probabilities.size - 1
        begin, over = (round((time_s - self.start_s) / FRAME_S, 6) for time_s in (start_s, end_s))  # no frame for a rounding error
        first = min(max(0, math.floor(begin)), last)
        end = min(max(first + 1, math.ceil(over)), last + 1)
        return float(self.probabilities[first:end].mean())


class SpanFinder:
    """Finds spans while the probabilities come in; however they are cut into pushes, the spans are the same."""

    def __init__(self, rules: SpanRules) -> None:
        self._rules = rules
        self._now = 0  # frames heard
        self._start: int | None = None  # frame the present speech began at
        self._goes_on = False  # the present speech is what a cut left: the rest of something long, never a burst
        self._quiet_since: int | None = None  # frame the present pause within it began at
        self._last_end_s = 0.0
        self._recent: deque[float] = deque(maxlen=round(_SEARCH_S / FRAME_S))  # probabilities of the present speech

    @property
    def now_s(self) -> float:
        """Where the next frame begins."""
        return self._now * FRAME_S

    @property
    def settled_s(self) -> float:
        """Before this time no span will begin or end any more."""
        if self._start is None:
            return max(self._last_end_s, self._now * FRAME_S - self._rules.pad_before_s)
        return self._padded_start_s(self._start)

    @property
    def speaking_since_s(self) -> float | None:
        """Where the span begins that is sure to come; None while nobody speaks, or not for long enough yet."""
        if self._start is None:
            return None
        spoken_s = ((self._now if self._quiet_since is None else self._quiet_since) - self._start) * FRAME_S
        return self._padded_start_s(self._start) if self._goes_on or spoken_s >= self._rules.least_speech_s else None

    @property
    def paused_s(self) -> float:
        """How long the present pause within speech lasts; 0.0 while someone speaks, and while nobody did."""
        return 0.0 if self._quiet_since is None else (self._now - self._quiet_since) * FRAME_S

    def push(self, probabilities: Samples) -> tuple[SpeechSpan, ...]:
        """Return the spans that these frames end."""
        return tuple(span for probability in probabilities.tolist() if (span := self.frame(probability)))

    def finish(self) -> tuple[SpeechSpan, ...]:
        """Return the span that the end of the audio ends, if there is one."""
        if self._start is None:
            return ()
        span = self._end(self._start, self._now if self._quiet_since is None else self._quiet_since)
        return (span,) if span else ()

    def frame(self, probability: float) -> SpeechSpan | None:
        """Return the span that this frame ends, if it ends one."""
        frame, self._now = self._now, self._now + 1
        if probability >= self._rules.threshold:
            if self._start is None:
                self._start = frame
                self._recent.clear()
            self._quiet_since = None
        elif self._start is not None and probability < max(self._rules.threshold - _HYSTERESIS, 0.01):
            self._quiet_since = frame if self._quiet_since is None else self._quiet_since
            if (self._now - self._quiet_since) * FRAME_S >= self._rules.least_silence_s:
                return self._end(self._start, self._quiet_since)
        self._recent.append(probability)
        if self._start is not None:
            padded_s = self._now * FRAME_S + self._rules.pad_after_s - self._padded_start_s(self._start)
            if padded_s >= self._rules.longest_s:
                return self._cut(self._start)
        return None

    def _end(self, start: int, end: int) -> SpeechSpan | None:
        start_s = self._padded_start_s(start)
        if self._goes_on:
            end = max(end, start + 1)  # what was told to go on does, if only for a frame
        is_speech = self._goes_on or (end - start) * FRAME_S >= self._rules.least_speech_s
        self._start, self._quiet_since, self._goes_on = None, None, False
        if not is_speech:
            return None
        self._last_end_s = min(end * FRAME_S + self._rules.pad_after_s, self._now * FRAME_S)
        return SpeechSpan(start_s=start_s, end_s=self._last_end_s)

    def _cut(self, start: int) -> SpeechSpan:
        """Cut in two what is too long: the first part is returned, and the second goes on from the very same point."""
        first = max(self._now - len(self._recent), start + (self._now - start) // 2)
        recent = list(self._recent)[first - self._now :]
        cut = self._now - 1 - min(range(len(recent)), key=recent[::-1].__getitem__)  # of equals the last
        span = SpeechSpan(start_s=self._padded_start_s(start), end_s=cut * FRAME_S, goes_on=True)
        self._start, self._goes_on, self._last_end_s = cut, True, span.end_s
        self._quiet_since = None if self._quiet_since is None else max(cut, self._quiet_since)
        return span

    def _padded_start_s(self, start: int) -> float:
        return max(self._last_end_s, start * FRAME_S - self._rules.pad_before_s)


def speech_spans(probabilities: Samples, rules: SpanRules) -> tuple[SpeechSpan, ...]:
    """Find the spans of a whole clip with the machine that serves live audio, in start order, never overlapping."""
    finder = SpanFinder(rules)
    return (*finder.push(probabilities), *finder.finish())
