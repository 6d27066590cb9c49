"""Recognisers for replicas: the ruler, and words that end the process it runs in, hang it or wait. They are made on other nodes."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from app.domain.audio import Clip
from app.domain.errors import DeviceFailedError
from app.domain.ports import DeviceMemory, Options, RecognizerFacts
from app.domain.transcript import Transcript
from app.settings import Settings
from app.testing.ruler import HIGHEST_NUMBER, RulerRecognizer

POISON: Final = HIGHEST_NUMBER  # fails the batch it is in
DEADLY: Final = HIGHEST_NUMBER - 1  # ends the process
LOST_DEVICE: Final = HIGHEST_NUMBER - 2  # loses the device of the first process that hears it, for good; the others just hear it
HELD: Final = HIGHEST_NUMBER - 3  # waits until the file is there that `gate` names; leaves its process's number beside it


class TroubledRuler:
    """The ruler, and the words that make trouble; the settings' model is the path of the gate."""

    def __init__(self, settings: Settings, *, run_s: float) -> None:
        self._ruler, self._gate, self._run_s = RulerRecognizer(), Path(settings.model), run_s
        self._device_lost = False
        precision = self._ruler.facts.precision if settings.precision == "auto" else settings.precision
        self._facts = msgspec.structs.replace(self._ruler.facts, precision=precision)

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
        time.sleep(self._run_s)
        if HELD in words:
            self._gate.with_suffix(f".{os.getpid()}").touch()
            while not self._gate.exists():
                time.sleep(0.01)
        if DEADLY in words:
            self._gate.with_suffix(f".{os.getpid()}").touch()
            os._exit(1)
        if LOST_DEVICE in words and not list(self._gate.parent.glob(f"{self._gate.stem}.*")):
            self._gate.with_suffix(f".{os.getpid()}").touch()
            self._device_lost = True
        if self._device_lost:
            raise DeviceFailedError("the device is lost, as was asked")
        if POISON in words:
            raise RuntimeError("this batch is poisoned, as was asked")
        return heard


def ruler(settings: Settings) -> TroubledRuler:
    """Make one that takes no time."""
    return TroubledRuler(settings, run_s=0.0)
