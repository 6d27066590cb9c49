"""The whole service with the ruler as its model, which can be told to fail: who is answered, and with whose words?

`python -m bench.ruler_service`, with the service's settings in the environment. What is sent as float32 WAV at 16 kHz, or as
`pcm_f32le` to `/ws`, comes back as the words that were written into it. Everything but the model and the voice detector is the
real thing.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from dependency_injector import providers

from app.container import Container
from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.errors import DeviceFailedError
from app.domain.ports import DeviceMemory, Options, RecognizerFacts
from app.domain.transcript import Transcript
from app.entrypoints.cli.serve import serve
from app.setting_sources import read_settings
from app.testing.fakes import FakeVoiceDetector
from app.testing.ruler import HIGHEST_NUMBER, RulerRecognizer, RulerWord, encode_words

GATE: Final = "RULER_GATE"  # a variable: the path of a file; while it is not there, whoever says `HELD` waits
WAITING: Final = ".waiting"  # and a file of that name with this at its end tells that somebody does
RUN_S: Final = "RULER_RUN_S"  # a variable: how long every batch takes
# Words that nobody else says.
POISON: Final = HIGHEST_NUMBER  # fails the batch it is in, and every half of it
LOST_DEVICE: Final = HIGHEST_NUMBER - 1
DEAD_THREAD: Final = HIGHEST_NUMBER - 2
HELD: Final = HIGHEST_NUMBER - 3
_LOOK_S: Final = 0.01
_WORD_SAMPLES: Final = 3_200


class TroubledRuler:
    """The ruler, and the words that make trouble."""

    def __init__(self) -> None:
        self._ruler = RulerRecognizer()
        self._run_s = float(os.environ.get(RUN_S, "0"))
        self._gate = Path(os.environ.get(GATE, "/"))

    @property
    def facts(self) -> RecognizerFacts:
        return self._ruler.facts

    def configuration(self) -> Mapping[str, Any]:
        return self._ruler.configuration()

    def device_memory(self) -> DeviceMemory | None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        heard = self._ruler.recognize(clips, options)
        words = {token.id for transcript in heard for token in transcript.tokens}
        time.sleep(self._run_s)
        if HELD in words:
            Path(f"{self._gate}{WAITING}").touch()
            while not self._gate.exists():
                time.sleep(_LOOK_S)
        if LOST_DEVICE in words:
            raise DeviceFailedError("the device is lost, as was asked")
        if DEAD_THREAD in words:
            raise SystemExit
        if POISON in words:
            raise RuntimeError("this batch is poisoned, as was asked")
        return heard


def said(*numbers: int) -> Clip:
    """Return words of a fifth of a second each, with short pauses between them."""
    step = _WORD_SAMPLES + _WORD_SAMPLES // 4
    words = [
        RulerWord(number=number, start_sample=i * step + _WORD_SAMPLES // 4, n_samples=_WORD_SAMPLES)
        for i, number in enumerate(numbers)
    ]
    return encode_words(words, (words[-1].end_sample + _WORD_SAMPLES // 4) / MODEL_RATE_HZ)


def text_of(*numbers: int) -> str:
    """Return what the service writes of `said(*numbers)`."""
    return " ".join(f"w{number}" for number in numbers)


def float_wav(clip: Clip) -> bytes:
    """Return a WAV file with the very samples: 16 kHz, one channel, float32."""
    data = np.asarray(clip.samples, "<f4").tobytes()
    sizes = [len(data).to_bytes(4, "little"), (36 + len(data)).to_bytes(4, "little")]
    rate, per_s = MODEL_RATE_HZ.to_bytes(4, "little"), (4 * MODEL_RATE_HZ).to_bytes(4, "little")
    kind = b"fmt \x10\0\0\0\x03\0\x01\0" + rate + per_s + b"\x04\0\x20\0"
    return b"RIFF" + sizes[1] + b"WAVE" + kind + b"data" + sizes[0] + data


if __name__ == "__main__":
    Container.recognizer.override(providers.ThreadSafeSingleton(TroubledRuler))
    Container.detector.override(providers.ThreadSafeSingleton(FakeVoiceDetector))
    sys.exit(serve(read_settings(os.environ)))
