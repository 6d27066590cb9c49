"""The ruler, which can be told to fail by the words it hears, and the sound of words.

What is sent as float32 WAV at 16 kHz, or as `pcm_f32le` to `/ws`, comes back as the words that were written into it.
`STT_RECOGNIZER=bench.troubled_ruler:TroubledRuler` makes it the model of a service, or of replicas on a cluster.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.errors import DeviceFailedError
from app.domain.ports import DeviceMemory, Options, RecognizerFacts
from app.domain.transcript import Transcript
from app.settings import Settings
from app.testing.ruler import HIGHEST_NUMBER, RULER_FACTS, RulerRecognizer, RulerWord, encode_words

RECOGNIZER: Final = f"{__name__}:TroubledRuler"  # for `STT_RECOGNIZER`
RUN_S: Final = "RULER_RUN_S"  # a variable: how long every batch takes
PADDED_RUN_S: Final = "RULER_PADDED_RUN_S"  # a variable: how long each padded second of a batch takes besides
AT_A_TIME: Final = "RULER_AT_A_TIME"  # a variable: how many batches run at a time
GATE: Final = "RULER_GATE"  # a variable: the path of a file; beside it, processes leave their numbers before their troubles
# Words that nobody else says.
POISON: Final = HIGHEST_NUMBER  # fails the batch it is in, and every half of it
LOST_DEVICE: Final = HIGHEST_NUMBER - 1  # loses the device of the process, for good
DEAD_THREAD: Final = HIGHEST_NUMBER - 2  # ends the thread that the model runs on
HELD: Final = HIGHEST_NUMBER - 3  # waits until the gate's file is there
DEADLY: Final = HIGHEST_NUMBER - 4  # ends the process
LOST_ONCE: Final = HIGHEST_NUMBER - 5  # as `LOST_DEVICE`, where a gate is named and no process has left its number
_FATEFUL: Final = frozenset({LOST_DEVICE, DEAD_THREAD, HELD, DEADLY})
_LOOK_S: Final = 0.01
_WORD_SAMPLES: Final = 3_200


class TroubledRuler:
    """The ruler, and the words that make trouble."""

    def __init__(self, settings: Settings) -> None:
        self._ruler, self._device_lost = RulerRecognizer(), False
        precision = RULER_FACTS.precision if settings.precision == "auto" else settings.precision
        at_a_time = int(os.environ.get(AT_A_TIME, "1"))
        self._facts = msgspec.structs.replace(RULER_FACTS, precision=precision, max_concurrent_batches=at_a_time)
        self._run_s, self._padded_run_s = (float(os.environ.get(name, "0")) for name in (RUN_S, PADDED_RUN_S))
        self._gate = Path(os.environ[GATE]) if GATE in os.environ else None

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        return self._ruler.configuration()

    def device_memory(self) -> DeviceMemory | None:
        return None

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        heard = self._ruler.recognize(clips, options)
        words = {token.id for transcript in heard for token in transcript.tokens}
        time.sleep(self._run_s + self._padded_run_s * len(clips) * max(clip.duration_s for clip in clips))
        if self._gate:
            self._mind(self._gate, words)
        if DEADLY in words:
            os._exit(1)
        if self._device_lost or LOST_DEVICE in words:
            self._device_lost = True
            raise DeviceFailedError("the device is lost, as was asked")
        if DEAD_THREAD in words:
            raise SystemExit
        if POISON in words:
            raise RuntimeError("this batch is poisoned, as was asked")
        return heard

    def _mind(self, gate: Path, words: set[int]) -> None:
        if LOST_ONCE in words and not numbers_left(gate):
            self._device_lost = True
        if self._device_lost or words & _FATEFUL:
            gate.with_name(f"{gate.name}.{os.getpid()}").touch()
        while HELD in words and not gate.exists():
            time.sleep(_LOOK_S)


def numbers_left(gate: Path) -> list[int]:
    """Return the numbers that processes have left beside a gate."""
    return [int(path.suffix[1:]) for path in gate.parent.glob(f"{gate.name}.*")]


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
