"""What live sessions say: recordings with pauses between, and when each is really spoken."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from app.domain.audio import MODEL_RATE_HZ
from tests.recordings import Recording, recordings

from .clips import ClipFile, Pcm, write_wav
from .sentences import extent

_LEAD_S: Final = (0.5, 2.0)  # before the first recording: sessions do not begin to speak together
_PAUSES_S: Final = (0.8, 2.0)  # with what is kept around speech (0.3 s before, 0.2 s after), no utterance reaches two recordings
_TAIL_S: Final = 1.5  # after the last one: it ends by its silence, as all others do


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """One recording in a session's sound; seconds from the sound's start, found by its energy."""

    text: str
    start_s: float
    end_s: float


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """All that one session says."""

    file: ClipFile
    spoken: list[Spoken]


def write_script(folder: Path, number: int, duration_s: float) -> Script:
    """Write what session `number` says; every session says the same recordings in an order of its own.

    Raises:
        ValueError: The duration leaves no room for a single recording.
    """
    samples, spoken = composed(recordings(), duration_s, seed=number)
    folder.mkdir(parents=True, exist_ok=True)
    return Script(file=write_wav(folder / f"live-{number:03}.wav", samples), spoken=spoken)


def composed(said: Sequence[Recording], duration_s: float, *, seed: int) -> tuple[Pcm, list[Spoken]]:
    """Put as many recordings, shuffled, into digital silence as it has room for; int16, shape (duration_s * rate,)."""
    chance = random.Random(seed)
    samples = np.zeros(round(duration_s * MODEL_RATE_HZ), np.int16)
    free_from, end = round(chance.uniform(*_LEAD_S) * MODEL_RATE_HZ), samples.size - round(_TAIL_S * MODEL_RATE_HZ)
    spoken: list[Spoken] = []
    while True:
        for recording in chance.sample(said, len(said)):
            first, over = extent(recording.samples)
            if free_from + over - first > end:
                if not spoken:
                    raise ValueError(f"{duration_s:g} s are too short for a recording between pauses")
                return samples, spoken
            piece = np.rint(recording.samples[first:over] * 2**15).astype(np.int16)
            samples[free_from : free_from + piece.size] = piece
            start_s, free_from = free_from / MODEL_RATE_HZ, free_from + piece.size
            spoken.append(Spoken(text=recording.text, start_s=start_s, end_s=free_from / MODEL_RATE_HZ))
            free_from += round(chance.uniform(*_PAUSES_S) * MODEL_RATE_HZ)
