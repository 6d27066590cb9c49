"""espeak-ng through its C library, which says when each phone begins; its command does not, and is slower.

Source: espeak-ng's `speak_lib.h`; the layouts and numbers below are its public interface.
"""

import ctypes
import threading
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LIBRARY: Final = "libespeak-ng.so.1"
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_PHONEME_EVENTS: Final = 1
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_CHARS_UTF8: Final = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_NAMES: Final = {"en-gb": "en"}  # the library knows this voice by its language's name alone
_lock = threading.Lock()  # the library is one global voice


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    def __init__(self) -> None:
        self._sound: list[bytes] = []
        self._phones: list[tuple[str, int]] = []
        self._callback = _Callback(self._take)  # held here: the library keeps only a pointer
        self._c: Any = ctypes.CDLL(_LIBRARY)
        self.rate_hz = int(self._c.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, None, _PHONEME_EVENTS))
        self._c.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, n_samples: int, events: Any) -> int:
        if samples and n_samples:
            self._sound.append(ctypes.string_at(samples, 2 * n_samples))
        at = 0
        while events[at].type != _EVENT_END:
            if events[at].type == _EVENT_PHONEME:
                self._phones.append((bytes(events[at].id.string).decode("latin-1"), int(events[at].sample)))
            at += 1
        return 0

    def say(self, voice: str, text: str, words_per_min: int, pitch: int) -> tuple[NDArray[np.int16], list[tuple[str, int]]]:
        self._sound.clear()
        self._phones.clear()
        accent, plus, variant = voice.partition("+")
        if self._c.espeak_SetVoiceByName(f"{_NAMES.get(accent, accent)}{plus}{variant}".encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._c.espeak_SetParameter(_RATE, words_per_min, 0)
        self._c.espeak_SetParameter(_PITCH, pitch, 0)
        data = text.encode()
        self._c.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        return np.frombuffer(b"".join(self._sound), np.int16), list(self._phones)


def say(voice: str, text: str, words_per_min: int, pitch: int) -> tuple[int, NDArray[np.int16], list[tuple[str, int]]]:
    """Read one text; threads take turns.

    Returns:
        The rate in Hz; the samples, int16, shape (n_samples,); and each phone with the sample it begins at.

    Raises:
        ValueError: There is no such voice.
        OSError: espeak-ng's library is not installed.
    """
    with _lock:
        library = _library()
        return (library.rate_hz, *library.say(voice, text, words_per_min, pitch))


@cache
def _library() -> _Library:
    return _Library()
