"""What is known of one utterance of a live session while it is spoken: what is settled, and what may still change.

With partials the utterance so far is recognised again as it grows. A word is stable once two hypotheses in a row agree on all words
up to it (LocalAgreement-2: D. Macháček et al., "Turning Whisper into Real-Time Transcription System", 2023) and the later one
hears another word after it. Stable words leave the window that is recognised, but for some seconds of context.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from .audio import MODEL_RATE_HZ
from .errors import SpeechError
from .seams import HeardWord, transcript_of, write_on
from .transcript import Token, Transcript, opening, text_of

_CONTEXT_S: Final = 2.0  # of the stable part that is heard all the same, for the model to find its feet; chosen


class Utterance(msgspec.Struct, eq=False, kw_only=True):
    """One utterance; places are samples of the session."""

    number: int
    start: int
    window_start: int  # from here on it is recognised: before lies what is settled, or after a cut some of the one before
    end: int = 0
    started: bool = False  # and that was told
    settled: list[HeardWord] = []  # will not change
    written: list[Token] = []  # of the first `n_written` of these, put in order once: it may last hours
    n_written: int = 0
    n_told: int = 0  # tokens of `settled`
    tentative: list[HeardWord] = []  # of the last hypothesis, what follows `settled`
    failure: SpeechError | None = None  # of one of its windows
    cleared: bool = False

    def hypothesis(self, following: list[HeardWord]) -> bool:
        """Take what a hypothesis says after all that is settled; return whether anything of it is new."""
        n_agreed = _n_agreed(self.tentative, following)
        changed = _text(following) != _text(self.tentative)
        self.settled += following[:n_agreed]
        self.tentative = following[n_agreed:]
        return bool(n_agreed) or changed

    def settle(self, following: list[HeardWord]) -> None:
        """Take what follows for good."""
        self.settled += following
        self.tentative = []

    def told(self) -> tuple[Transcript, Transcript, Transcript]:
        """Return what is settled, the end of it that is told for the first time, and the tentative rest."""
        write_on(self.written, self.settled[self.n_written :])
        self.n_written = len(self.settled)
        settled = opening(Transcript(tokens=tuple(self.written)))
        fresh = Transcript(tokens=settled.tokens[self.n_told :])
        self.n_told = len(settled.tokens)
        write_on(tokens := [*self.written], self.tentative)
        whole = opening(Transcript(tokens=tuple(tokens)))
        return settled, fresh, Transcript(tokens=whole.tokens[len(settled.tokens) :])

    def shorten(self) -> None:
        """Have what is settled leave the window, but for `_CONTEXT_S`."""
        if self.settled:
            kept_from_s = self.settled[-1].word.end_s - _CONTEXT_S
            begins_s = [one.word.start_s for one in self.settled if one.word.start_s >= kept_from_s]
            place = round(min(begins_s, default=self.settled[-1].word.start_s) * MODEL_RATE_HZ)
            self.window_start = max(self.window_start, place)


class Window(msgspec.Struct, eq=False, kw_only=True):
    """A part of an utterance that is recognised at once; places are samples of the session."""

    ticket: int
    utterance: Utterance
    start: int
    end: int
    until: int | None  # words whose middle is after this place belong to the next window
    ends: bool  # its utterance
    asked_s: float | None = None
    answer: Transcript | SpeechError | None = None


def _n_agreed(earlier: Sequence[HeardWord], later: Sequence[HeardWord]) -> int:
    """Count the words that two hypotheses begin with alike, but for the later one's last word: it may not be whole yet."""
    n_agreed = 0
    for one, other in zip(earlier, later[:-1], strict=False):
        if one.word.text != other.word.text:
            break
        n_agreed += 1
    return n_agreed


def _text(words: Sequence[HeardWord]) -> str:
    return text_of(transcript_of(words).tokens)
