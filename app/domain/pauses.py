"""Where in a long file the voice detector is asked, so that finding pauses costs a fraction of hearing everything."""

from collections import deque
from typing import Final

import numpy as np

from .audio import FRAME_SAMPLES, Samples
from .ports import VoiceDetector, VoiceStream

BLOCK_FRAMES: Final = 32
BLOCK_SAMPLES: Final = BLOCK_FRAMES * FRAME_SAMPLES  # 1.02 s
_LOUDER: Final = 10**1.2  # power of what is no pause over that of the quietest frame of late: 12 dB
_LATE_BLOCKS: Final = 30
_LEAST_POWER: Final = 1e-8  # -80 dB of full scale; what is quieter is all the same


class PauseEar:
    """Tells how likely speech is, block by block; blocks that hold no long pause pass for speech without being heard.

    A pause so long that it fills a block is quiet from the block's first frame to its last. So a block with a frame that stands
    out from the quietest one of the last half minute need not be heard, unless its short pauses are wanted too. Loudness never
    decides that something is a pause: that is up to the voice detector. (Nor can it tell where short ones are: heard only where
    five frames in a row are quiet, sentences put together without a gap had 2 of 14 windows ending in a pause instead of 7.)
    """

    def __init__(self, detector: VoiceDetector, *, thorough: bool) -> None:
        """Begin a file; `thorough` hears every block."""
        self._detector, self._thorough = detector, thorough
        self._stream: VoiceStream | None = None  # of the blocks heard without a break up to now
        self._before: Samples = np.zeros(0, np.float32)
        self._quietest: deque[float] = deque(maxlen=_LATE_BLOCKS)

    def hear(self, block: Samples, *, closely: bool) -> Samples:
        """Return the probabilities of the next block's frames; `closely` asks for its short pauses too.

        Args:
            block: `BLOCK_SAMPLES` samples; the last of a file may be shorter, but in whole frames.
        """
        if self._stands_out(block) and not (self._thorough or closely):
            self._stream, self._before = None, block.copy()  # a view would keep all it was cut from alive
            return np.ones(block.size // FRAME_SAMPLES, np.float32)
        if self._stream is None:
            self._stream = self._detector.open_stream()
            self._stream.push(self._before)  # a second before is enough for it to find its feet
        return self._stream.push(block)

    def _stands_out(self, block: Samples) -> bool:
        power = np.square(block).reshape(-1, FRAME_SAMPLES).mean(axis=1)
        self._quietest.append(float(power.min()))
        return float(power.max()) > _LOUDER * max(min(self._quietest), _LEAST_POWER)
