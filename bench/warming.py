"""Honest speech that has a service take the memory that it takes once, before anybody asks what it takes more and more of."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx
import numpy as np

from app.domain.audio import MODEL_RATE_HZ

from .hostile.case import TRANSCRIPTIONS
from .hostile.sounds import sentence, shorts, wav

LONG_S: Final = 600.0  # of honest speech in one file
_AT_ONCE: Final = 4  # files whose windows fill the model's largest batches
_PATIENCE_S: Final = 300.0


def fill_batches(url: str) -> None:
    """Have the service run its model's largest batches, whose memory it keeps."""
    with ThreadPoolExecutor(_AT_ONCE) as clients:
        list(clients.map(lambda _: hear_long(url, LONG_S / _AT_ONCE), range(_AT_ONCE)))


def hear_long(url: str, duration_s: float = LONG_S) -> None:
    """Have the service hear one file.

    Raises:
        httpx.HTTPError: It was not heard.
    """
    spoken = wav(shorts(np.tile(sentence(), round(duration_s * MODEL_RATE_HZ / sentence().size))))
    httpx.post(url + TRANSCRIPTIONS, files={"file": spoken}, timeout=_PATIENCE_S).raise_for_status()
