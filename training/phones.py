"""Teaches the encoder sounds frame by frame: synthesised speech comes with the time of every phone.

The transducer loss alone must find out for itself which sound belongs to which letters, and spends tens of hours of speech on it;
a frame-wise cross-entropy on phones, taken from a middle layer and dropped after training, tells it from the first step.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

FRAME_S: Final = 0.08  # of the encoder: 10 ms times 8
TARGETS_PER_FRAME: Final = 2  # phones are shorter than a frame, so each frame names the phone in both its halves
IGNORED: Final = -100  # cross_entropy's own default for a target that does not count

Symbol = tuple[str, str]  # phone set and symbol in it


class Inventory:
    """All phones of a store, numbered."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        sets = sorted({phone_set for phone_set, _ in self.symbols})
        self._allowed = {name: np.array([phone_set == name for phone_set, _ in self.symbols]) for name in sets}

    def __len__(self) -> int:
        return len(self.symbols)

    @classmethod
    def of(cls, clips: Sequence[Sequence[Symbol]]) -> "Inventory":
        """Number every phone that occurs in `clips`."""
        return cls(sorted({symbol for clip in clips for symbol in clip}))

    def allowed(self, phones: Sequence[Symbol]) -> NDArray[np.bool_]:
        """Of a clip: which phones its engine could have said, bool, shape (len(self),); all where nothing is known."""
        return self._allowed[phones[0][0]] if phones else np.ones(len(self), np.bool_)

    def targets(self, phones: Sequence[Symbol], ends_s: NDArray[np.float32], n_frames: int, begin_s: float) -> NDArray[np.int64]:
        """Name the phone in each half frame of a clip that begins `begin_s` into the sound.

        Encoder frame i is centred on i * FRAME_S: every convolution of the subsampling is padded by half its kernel.

        Returns:
            int64, shape (n_frames, TARGETS_PER_FRAME): phone numbers, IGNORED outside the clip.
        """
        found = np.full((n_frames, TARGETS_PER_FRAME), IGNORED, np.int64)
        if not phones:
            return found
        ids = np.array([*(self._ids.get(symbol, IGNORED) for symbol in phones), IGNORED])
        halves = (np.arange(TARGETS_PER_FRAME) + 0.5) / TARGETS_PER_FRAME - 0.5
        times_s = (np.arange(n_frames)[:, None] + halves) * FRAME_S - begin_s
        found[:] = ids[np.searchsorted(ends_s, times_s, side="right")]
        found[times_s < 0] = IGNORED
        return found


class PhoneHead(torch.nn.Module):
    """Names the phones of each frame from what one encoder layer gives."""

    def __init__(self, width: int, n_phones: int) -> None:
        super().__init__()
        self._linear = torch.nn.Linear(width, TARGETS_PER_FRAME * n_phones)

    def loss(self, hidden: Tensor, targets: Tensor, allowed: Tensor) -> Tensor:
        """Mean cross-entropy in nats a half frame; 0 where no target counts.

        Args:
            hidden: float32, shape (batch, n_frames, width).
            targets: int64, shape (batch, at least n_frames, TARGETS_PER_FRAME).
            allowed: bool, shape (batch, n_phones): the phones of the clip's own set.
        """
        batch, n_frames, _ = hidden.shape
        logits = self._linear(hidden).view(batch, n_frames, TARGETS_PER_FRAME, -1)
        logits = logits.masked_fill(~allowed[:, None, None], -torch.inf)
        wanted = targets[:, :n_frames].flatten()
        total = functional.cross_entropy(logits.flatten(0, 2), wanted, ignore_index=IGNORED, reduction="sum")
        return total / (wanted != IGNORED).sum().clamp(min=1)
