"""The transducer's loss along a known path: what to write at each frame, and how far to step, told outright.

The transducer loss sums over every path through frames x pieces and scores the joint network everywhere; with the
times of the pieces known (see `alignment.py`), only the points a decoder passes on the one right path are scored, and
a few beside it, so that one step too early or too late is mended rather than fatal. That is a tenth of the points.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .architecture import DURATIONS

EARLY, LATE = 1, 4  # frames: how far off the path a decoder may be and still be told what is right
BESIDE: Final = 0.2  # weight of a point off the path; chosen


class Points(NamedTuple):
    """Points of one clip, or of a batch: all of shape (n_points,), int64 but for the weight."""

    frame: NDArray[np.int64]
    written: NDArray[np.int64]  # pieces written before
    piece: NDArray[np.int64]  # to be written now; the number of pieces is the blank
    duration: NDArray[np.int64]
    weight: NDArray[np.float32]


def points(pieces: NDArray[np.int64], frames: NDArray[np.int64], n_frames: int, blank: int) -> Points:
    """Lay a clip's path: at each frame the piece that ends in it, else the blank.

    Args:
        pieces: int64, shape (n_pieces,).
        frames: int64, shape (n_pieces,), never falling, in [0, n_frames): where each piece is written.
        n_frames: Of the encoder, at least 1.
    """
    begins = np.concatenate(([0], frames))
    ends = np.concatenate((frames, [n_frames]))  # where the state ends: its piece, or the clip
    first = np.maximum(begins - EARLY, 0)
    last = np.minimum(ends + LATE, n_frames - 1)
    counts = last - first + 1
    written = np.repeat(np.arange(len(begins)), counts)
    frame = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[written]
    due = frame >= ends[written]
    piece = np.where(due, np.append(pieces, blank)[written], blank)
    next_end = np.append(ends, n_frames)[1:][written]
    ahead = np.where(due, next_end, ends[written]) - frame
    duration = np.clip(ahead, np.where(due, 0, 1), DURATIONS[-1])
    on_path = (frame >= begins[written]) & (frame <= ends[written])
    return Points(frame, written, piece, duration, np.where(on_path, 1.0, BESIDE).astype(np.float32))


def path_loss(logits: Tensor, piece: Tensor, duration: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of the cross-entropies of pieces and durations, in nats.

    Args:
        logits: float32, shape (n_points, n_pieces + 1 + len(DURATIONS)), not normalised: pieces, blank, durations.
        piece: int64, shape (n_points,), the blank among them.
        duration: int64, shape (n_points,), in [0, len(DURATIONS)).
        weight: float32, shape (n_points,).
    """
    tokens, steps = logits[:, : -len(DURATIONS)], logits[:, -len(DURATIONS) :]
    each = functional.cross_entropy(tokens, piece, reduction="none") + functional.cross_entropy(steps, duration, reduction="none")
    return (weight * each).sum()
