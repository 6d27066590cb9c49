"""A recogniser of another make: it hears telephone keys (DTMF tones, ITU-T Q.23) and writes them down; speech it does not hear.

    STT_RECOGNIZER=telephone_keys:TelephoneKeys PYTHONPATH=examples parakeet-stt serve

An engine that hears speech goes where `_keys` is: samples in, pieces of text with their times and probabilities out.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from parakeet_stt import MODEL_RATE_HZ, Clip, Options, RecognizerFacts, Settings, Token, Transcript

LOW_HZ, HIGH_HZ, KEYS = (697, 770, 852, 941), (1209, 1336, 1477, 1633), "123A456B789C*0#D"
FRAME = 400  # samples: 25 ms; a key is pressed for 40 ms at least (ITU-T Q.24)
LEAST_SHARE = 0.6  # of a frame's energy that its two tones hold; chosen


class TelephoneKeys:
    """Fills the port `parakeet_stt.Recognizer`; nothing is loaded, and every clip is heard by itself."""

    def __init__(self, _settings: Settings) -> None:
        angles = 2j * np.pi * np.outer((*LOW_HZ, *HIGH_HZ), np.arange(FRAME)) / MODEL_RATE_HZ
        self._waves = np.exp(-angles).T

    @property
    def facts(self) -> RecognizerFacts:
        return RecognizerFacts(
            model_id="telephone-keys", languages=("en",), longest_clip_s=3600.0, batch_padded_s=3600.0, demonstration=True
        )

    def configuration(self) -> Mapping[str, Any]:
        return {"low_hz": list(LOW_HZ), "high_hz": list(HIGH_HZ)}

    def device_memory(self) -> None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        return [Transcript(tokens=tuple(self._keys(clip))) for clip in clips]

    def _keys(self, clip: Clip) -> Iterator[Token]:
        frames = clip.samples[: clip.samples.size // FRAME * FRAME].reshape(-1, FRAME)
        powers = np.abs(frames @ self._waves) ** 2 * 2 / FRAME  # of a pure tone: the frame's energy
        low, high = powers[:, :4].argmax(axis=1), powers[:, 4:].argmax(axis=1)
        both = np.minimum(1.0, (powers[:, :4].max(axis=1) + powers[:, 4:].max(axis=1)) / (1e-9 + (frames**2).sum(axis=1)))
        heard = [KEYS[4 * row + column] if share > LEAST_SHARE else "" for row, column, share in zip(low, high, both, strict=True)]
        for key, group in groupby(range(len(heard)), key=heard.__getitem__):
            at = list(group)
            if key:
                start_s, end_s = at[0] * FRAME / MODEL_RATE_HZ, (at[-1] + 1) * FRAME / MODEL_RATE_HZ
                logprob = float(np.log(both[at].mean()))
                yield Token(id=KEYS.index(key), text=f" {key}", start_s=start_s, end_s=end_s, logprob=logprob)
