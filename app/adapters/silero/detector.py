"""Voice detection with Silero VAD: real on any CPU, its weights come in the wheel."""

from typing import Final

import numpy as np

from ...domain.audio import FRAME_SAMPLES, Clip, Samples
from ...domain.ports import VoiceStream
from .network import CONTEXT_SAMPLES, Network

_BATCH_FRAMES: Final = 256  # 8 s: bounds the memory of a long clip at some megabytes


class SileroVoiceDetector:
    """Speech probabilities from Silero VAD. Weights are shared by all threads; state belongs to a stream or a call."""

    def __init__(self) -> None:
        self._network = Network()

    def probabilities(self, clip: Clip) -> Samples:
        """Return what a stream fed with the clip, and zeros up to a whole frame, returns: not nearly but exactly that.

        Parallel lanes, each warmed on the frames before it, would only come near, and are slower: the network's front takes
        all frames at once, and what must run in order is small.
        """
        n_frames = -(-clip.samples.size // FRAME_SAMPLES)
        padded = np.zeros(n_frames * FRAME_SAMPLES, np.float32)
        padded[: clip.samples.size] = clip.samples
        return self.open_stream().push(padded)

    def open_stream(self) -> VoiceStream:
        return _SileroStream(self._network)


class _SileroStream:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._state = network.silent_state
        self._heard: Samples = np.zeros(CONTEXT_SAMPLES, np.float32)  # the context, then what fills no frame yet

    def push(self, samples: Samples) -> Samples:
        heard = np.concatenate([self._heard, samples])
        found = np.empty((heard.size - CONTEXT_SAMPLES) // FRAME_SAMPLES, np.float32)
        for start in range(0, found.size, _BATCH_FRAMES):
            end = min(start + _BATCH_FRAMES, found.size)
            stretch = heard[start * FRAME_SAMPLES : end * FRAME_SAMPLES + CONTEXT_SAMPLES]
            found[start:end], self._state = self._network.hear(stretch, self._state)
        self._heard = heard[found.size * FRAME_SAMPLES :].copy()  # a copy: a view would keep all of `heard` alive
        return found
