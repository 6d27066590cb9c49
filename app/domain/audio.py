"""Sound as the domain knows it: mono float32 at one rate."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

MODEL_RATE_HZ: Final = 16_000  # Parakeet and Silero both work at 16 kHz
FRAME_SAMPLES: Final = 512  # one step of voice detection: 32 ms
FRAME_S: Final = FRAME_SAMPLES / MODEL_RATE_HZ
SHORTEST_CLIP_S: Final = 0.1  # the hosted API refuses less; so do we

Samples = NDArray[np.float32]


class Clip(msgspec.Struct, frozen=True, eq=False):  # eq=False: comparing arrays has no one answer
    """Mono audio at `MODEL_RATE_HZ`: float32, shape (n_samples,), nominally within [-1.0, 1.0]."""

    samples: Samples

    @property
    def duration_s(self) -> float:
        return self.samples.size / MODEL_RATE_HZ


def silence(duration_s: float) -> Clip:
    """Return digital silence."""
    return Clip(np.zeros(round(duration_s * MODEL_RATE_HZ), np.float32))
