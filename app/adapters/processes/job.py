"""One file within a process that decodes."""

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final

import msgspec
import numpy as np

from ...domain.audio import MODEL_RATE_HZ, Samples
from ...domain.errors import AudioRejectedError
from ...domain.ports import AudioNormalizer, Block, DecodeLimits
from .wire import LONGEST_TEXT, Answer, Refusal

_SLICE_S: Final = 0.02  # of decoding in one go, then it is another file's turn
_ENOUGH_SAMPLES: Final = 10 * MODEL_RATE_HZ  # or until so much is there


class Step(msgspec.Struct, frozen=True, eq=False):
    """An answer, and the samples it announces in pieces."""

    answer: Answer
    samples: tuple[Samples, ...] = ()


class Job:
    """A file half decoded, and how much memory its decoding has taken so far."""

    def __init__(self, normalizer: AudioNormalizer, descriptor: int, limits: DecodeLimits, skip_samples: int) -> None:
        self._file = os.fdopen(descriptor, "rb")
        self._blocks: Iterator[Block] = iter(normalizer.blocks(self._file, limits=limits))
        self._still_to_skip = skip_samples
        self.held_bytes = 0

    def step(self) -> Step:
        """Decode for a slice of time.

        Raises:
            MemoryError: There is not enough; the file cannot be decoded on.
        """
        pieces: list[Samples] = []
        n_samples, truncated, until_s = 0, False, monotonic() + _SLICE_S

        def said(*, ended: bool = False, refusal: Refusal | None = None) -> Step:
            return Step(Answer(n_samples=n_samples, truncated=truncated, ended=ended, refusal=refusal), tuple(pieces))

        while True:
            try:
                block = next(self._blocks, None)
            except MemoryError:
                raise
            except AudioRejectedError as refused:
                return said(refusal=Refusal(type(refused).__name__, str(refused)[:LONGEST_TEXT]))
            except Exception as failure:
                return said(refusal=Refusal(type(failure).__name__, str(failure)[:LONGEST_TEXT]))
            if block is None:
                return said(ended=True)
            n_known = min(self._still_to_skip, block.samples.size)
            self._still_to_skip -= n_known
            if n_known < block.samples.size:
                pieces.append(np.ascontiguousarray(block.samples[n_known:], np.float32))
            n_samples += block.samples.size - n_known
            truncated = truncated or block.truncated
            if n_samples >= _ENOUGH_SAMPLES or monotonic() >= until_s:
                return said()

    def close(self) -> None:
        """Give up the rest, and the descriptor."""
        if isinstance(self._blocks, Generator):
            with suppress(Exception):  # whatever it says to being closed, nobody is left to be told
                self._blocks.close()
        self._file.close()
