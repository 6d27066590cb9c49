"""Known sentences, and long files made of them: what was said is known to the word, so that errors can be counted."""

import random
import re
from collections.abc import Sequence
from typing import Any, Final

import jiwer
import msgspec
import numpy as np
from numpy.typing import NDArray

from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.transcript import Word
from tests.recordings import recordings

JOINTS: Final = ("pauses", "crossfades", "no gap")
_PAUSES_S: Final = (0.3, 2.0)
_FADE_S: Final = 0.05
_SILENT: Final = 0.01  # of full scale: what is quieter at a recording's ends is trimmed, or "no gap" would be a pause
_RESAMPLINGS: Final = 5_000


class Sentence(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A known sentence, and when the model hears each of its words in its own short file; NaN where it hears another."""

    words: list[str]
    samples: Samples
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]

    @property
    def middles_s(self) -> NDArray[np.float64]:
        """About where each word is, heard or not."""
        evenly = (np.arange(len(self.words)) + 0.5) / len(self.words) * self.samples.size / MODEL_RATE_HZ
        return np.where(np.isnan(self.starts_s), evenly, (self.starts_s + self.ends_s) / 2)


def untimed_sentences() -> list[Sentence]:
    """Return every recording, trimmed; when the model hears its words is not known."""
    found = []
    for recording in recordings():
        words, (start, end) = bare(recording.text).split(), extent(recording.samples)
        unknown_s = np.full(len(words), np.nan)
        found.append(Sentence(words=words, samples=recording.samples[start:end], starts_s=unknown_s, ends_s=unknown_s))
    return found


def extent(samples: Samples) -> tuple[int, int]:
    """Return the sample at which the sound of a recording begins, and the one after its last."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT)
    return int(loud[0]), int(loud[-1]) + 1


def bare(text: str) -> str:
    """Lower-case words without punctuation."""
    return re.sub(r"[^a-z0-9' ]+", "", text.lower())


def long_file(joint: str, sentences: Sequence[Sentence], minutes: float) -> tuple[Samples, list[Sentence], NDArray[np.float64]]:
    """Join sentences in random order, none twice in a row: the samples, what was said, where each begins in seconds."""
    chance, said, offsets = random.Random(joint), list[Sentence](), list[int]()
    samples, end, fade = np.zeros(round((minutes * 60 + 30) * MODEL_RATE_HZ), np.float32), 0, round(_FADE_S * MODEL_RATE_HZ)
    while end < minutes * 60 * MODEL_RATE_HZ:
        one = chance.choice([other for other in sentences if not said or other is not said[-1]])
        piece = one.samples.copy()
        if joint == "pauses" and said:
            end += round(chance.uniform(*_PAUSES_S) * MODEL_RATE_HZ)
        if joint == "crossfades" and said:
            end -= fade
            samples[end : end + fade] *= np.linspace(1, 0, fade, dtype=np.float32)
            piece[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        samples[end : end + piece.size] += piece
        said.append(one)
        offsets.append(end)
        end += piece.size
    return samples[:end], said, np.array(offsets) / MODEL_RATE_HZ


def _chunks(said: Sequence[str], heard: Sequence[Word]) -> list[Any]:
    return list(jiwer.process_words(" ".join(said), " ".join(bare(word.text) for word in heard)).alignments[0])


def pairs(said: Sequence[str], heard: Sequence[Word]) -> list[tuple[int, int]]:
    """Index pairs of the words that were heard as they were said."""
    if not heard:
        return []
    return [
        (chunk.ref_start_idx + i, chunk.hyp_start_idx + i)
        for chunk in _chunks(said, heard)
        if chunk.type == "equal"
        for i in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


def errors_of(said: Sequence[str], heard: Sequence[Word]) -> NDArray[np.int64]:
    """Count the errors at each word that was said; what was heard in addition counts at the word before it."""
    errors = np.zeros(len(said), np.int64)
    if not heard:
        return errors + 1
    for chunk in _chunks(said, heard):
        if chunk.type == "insert":
            errors[max(0, chunk.ref_start_idx - 1)] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            errors[chunk.ref_start_idx : chunk.ref_end_idx] += 1
    return errors


def resampled_counts(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw sentences anew, as often as there are, again and again, seeded; errors of one sentence belong together.

    Args:
        owner: The sentence of each word.

    Returns:
        How often each sentence was drawn: int64, shape (n_resamplings, n_sentences).
    """
    n_sentences = int(owner.max()) + 1
    return np.random.default_rng(0).multinomial(n_sentences, np.full(n_sentences, 1 / n_sentences), _RESAMPLINGS)
