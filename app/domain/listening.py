"""Where someone speaks in a stream that is still coming: speech begins, speech ends, in samples of the session."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from .audio import FRAME_SAMPLES, MODEL_RATE_HZ, Samples
from .ports import VoiceDetector, VoiceStream
from .voice_activity import SpanFinder, SpanRules

_ALWAYS: Final = SpanRules(threshold=0.5, least_speech_s=0.0, pad_before_s=0.0, pad_after_s=0.0)  # for `_Loudness`


class SpeechBegan(msgspec.Struct, frozen=True):
    """Speech that is sure to end begins at sample `start`, what is kept before it included."""

    start: int


class SpeechPaused(msgspec.Struct, frozen=True):
    """Half the silence that ends speech has passed; `end` is the end of the speech if the rest does, with its padding so far."""

    end: int


class SpeechEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Speech was in [start, end); that it is over was known once the session had heard `known` samples."""

    start: int
    end: int
    known: int
    goes_on: bool  # nobody paused: it was cut for its length where the detector doubted most, and speech begins again at `end`


class Listener:
    """Hears one session from sample `at` on. However the samples are cut into pushes, it tells the same."""

    def __init__(self, detector: VoiceDetector, rules: SpanRules | None, *, longest_s: float, at: int) -> None:
        """Begin to listen; without `rules` all is speech, which is cut where it is quietest."""
        self._rules = msgspec.structs.replace(rules or _ALWAYS, longest_s=longest_s)
        self._ear: VoiceStream = detector.open_stream() if rules else _Loudness()
        self._frame_from = at  # where the next frame begins
        self.begin_anew(at)

    def begin_anew(self, at: int) -> None:
        """Forget the present speech: none begins before sample `at` any more."""
        self._floor, self._finder_from = at, self._frame_from
        self._finder = SpanFinder(self._rules)
        self._began = self._paused = False

    @property
    def least_silence_s(self) -> float:
        """The silence that ends speech."""
        return self._rules.least_silence_s

    @property
    def pauses(self) -> bool:
        """Whether a `SpeechPaused` was told, and nothing since."""
        return self._paused

    def push(self, samples: Samples) -> Iterator[SpeechBegan | SpeechPaused | SpeechEnded]:
        """Tell what these samples, which follow on those before, begin and end; take all of it before the next push."""
        for probability in self._ear.push(samples).tolist():
            span = self._finder.frame(probability)
            self._frame_from += FRAME_SAMPLES
            if span:
                start = self._at(span.start_s)
                if not self._began:
                    yield SpeechBegan(start)
                self._began = self._paused = False
                yield SpeechEnded(start=start, end=self._at(span.end_s), known=self._frame_from, goes_on=span.goes_on)
            if not self._began and (since_s := self._finder.speaking_since_s) is not None:
                self._began = True
                yield SpeechBegan(self._at(since_s))
            was_paused, paused_s = self._paused, self._finder.paused_s
            self._paused = self._began and paused_s > 0 and paused_s >= self._rules.least_silence_s / 2
            if self._paused and not was_paused:
                padding_s = min(paused_s, self._rules.pad_after_s)
                yield SpeechPaused(self._frame_from - round((paused_s - padding_s) * MODEL_RATE_HZ))

    def _at(self, time_s: float) -> int:
        return max(self._floor, self._finder_from + round(time_s * MODEL_RATE_HZ))


class _Loudness:
    """Stands in for a voice detector that is switched off: all is speech, the less surely the quieter."""

    def __init__(self) -> None:
        self._rest: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Samples:
        heard = np.concatenate([self._rest, samples])
        n_frames = heard.size // FRAME_SAMPLES
        self._rest = heard[n_frames * FRAME_SAMPLES :].copy()
        loudness = np.sqrt(np.square(heard[: n_frames * FRAME_SAMPLES]).reshape(n_frames, FRAME_SAMPLES).mean(axis=1))
        return np.asarray(0.5 + 0.5 * np.minimum(loudness, 1.0), np.float32)
