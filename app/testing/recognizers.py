"""A recogniser that hears nothing and says what it was told to: for tests of everything around the model."""

import string
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from ..domain.audio import Clip
from ..domain.ports import DeviceMemory, Options, RecognizerFacts
from ..domain.transcript import Token, Transcript

FAKE_FACTS: Final = RecognizerFacts(
    model_id="fake", languages=("en",), longest_clip_s=1_440.0, batch_padded_s=60.0, demonstration=True
)
FAKE_LOGPROB: Final = -0.125
_QUIET: Final = 1e-4  # a clip whose largest sample is below this (-80 dB) says nothing
_SOUNDED_SHARE: Final = 0.8  # of the time a word has until the next one begins; the rest is a pause
_VOCABULARY: Final = 1_024  # ids are made up within a size that real vocabularies have


class FakeRecognizer:
    """Says a text about every clip that is not silent, its words spread evenly over the clip, punctuation a token of its own.

    Attributes:
        heard: Every clip it was given, in order, those of failed batches included.
        asked: The options of each of them.
        batches: How many clips each call brought, in order.
    """

    def __init__(
        self,
        says: str | Mapping[int, str] | Callable[[Clip], str] = "Hello there.",
        *,
        fails_on: Callable[[Clip], bool] | None = None,
        facts: RecognizerFacts = FAKE_FACTS,
    ) -> None:
        """Prepare the answers.

        Args:
            says: One text for all clips, the text for each number of samples (none where a number is missing), or a function
                of the clip.
            fails_on: A batch holding a clip for which this is true fails as a whole.
        """
        self._says = says
        self._fails_on = fails_on
        self._facts = facts
        self.heard: list[Clip] = []
        self.asked: list[Options] = []
        self.batches: list[int] = []

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        return {"model": self._facts.model_id, "facts": msgspec.to_builtins(self._facts, builtin_types=())}

    def device_memory(self) -> DeviceMemory | None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        """Answer as told.

        Raises:
            RuntimeError: `fails_on` is true of one of the clips.
            ValueError: The caller breaks the port's rules: no clip, an empty one, one too long, or not one `Options` for each.
        """
        check_batch(clips, options, self._facts)
        self.heard += clips
        self.asked += options
        self.batches.append(len(clips))
        if self._fails_on is not None and any(self._fails_on(clip) for clip in clips):
            raise RuntimeError("the fake recogniser was told to fail on a clip of this batch")
        return [self._transcript(clip) for clip in clips]

    def _transcript(self, clip: Clip) -> Transcript:
        if np.abs(clip.samples).max() < _QUIET:
            return Transcript()
        return spoken_evenly(self._text(clip), duration_s=clip.duration_s)

    def _text(self, clip: Clip) -> str:
        if isinstance(self._says, str):
            return self._says
        if isinstance(self._says, Mapping):
            return self._says.get(clip.samples.size, "")
        return self._says(clip)


class GatedRecognizer:
    """Stands still in every batch until `let_go` is set, then does what `inner` does.

    `entered` tells that a batch has begun, and `n_entered` of how many clips the last one was: that depends on when they came.
    """

    def __init__(self, inner: FakeRecognizer, *, patience_s: float = 30.0) -> None:
        self._inner, self._patience_s = inner, patience_s
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.n_entered = 0

    @property
    def facts(self) -> RecognizerFacts:
        return self._inner.facts

    def configuration(self) -> Mapping[str, Any]:
        return self._inner.configuration()

    def device_memory(self) -> DeviceMemory | None:
        return self._inner.device_memory()

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        self.n_entered = len(clips)
        self.entered.set()
        if not self.let_go.wait(self._patience_s):
            raise TimeoutError(f"nobody let this batch go within {self._patience_s} s")
        return self._inner.recognize(clips, options)


def check_batch(clips: Sequence[Clip], options: Sequence[Options], facts: RecognizerFacts) -> None:
    """Raise a ValueError where a batch is not one that the port allows; a real model would fail in stranger ways."""
    if not clips or len(options) != len(clips):
        raise ValueError(f"a batch needs a clip and one options for each: {len(clips)} clips, {len(options)} options")
    for clip in clips:
        if clip.samples.dtype != np.float32 or clip.samples.ndim != 1:
            raise ValueError(f"a clip is float32 of one dimension, not {clip.samples.dtype} of {clip.samples.ndim}")
        if clip.samples.size == 0 or clip.duration_s > facts.longest_clip_s:
            raise ValueError(f"a clip lasts {clip.duration_s} s, and between one sample and {facts.longest_clip_s} s is allowed")
        if not np.isfinite(clip.samples).all():
            raise ValueError("a clip holds samples that are not finite")


def spoken_evenly(text: str, *, duration_s: float) -> Transcript:
    """Return the transcript of `text` read at an even pace from 0 to `duration_s`: the times are a function of both alone."""
    words = text.split()
    return Transcript(
        tokens=tuple(
            Token(
                id=zlib.crc32(piece.encode()) % _VOCABULARY,
                text=piece,
                start_s=min(duration_s, (i + starts) / len(words) * duration_s),
                end_s=min(duration_s, (i + ends) / len(words) * duration_s),
                logprob=FAKE_LOGPROB,
            )
            for i, word in enumerate(words)
            for piece, starts, ends in _pieces(word)
        )
    )


def _pieces(word: str) -> Iterator[tuple[str, float, float]]:
    """The word and the punctuation after it, each with the share of the word's time at which it starts and ends."""
    sounded = word.rstrip(string.punctuation) or word
    yield f" {sounded}", 0.0, _SOUNDED_SHARE
    for mark in word[len(sounded) :]:
        yield mark, _SOUNDED_SHARE, _SOUNDED_SHARE
