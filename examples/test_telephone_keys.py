"""The contract suite on a recogniser of one's own: `pytest examples/test_telephone_keys.py`, with examples/ in PYTHONPATH."""

import numpy as np
import pytest
from parakeet_stt import MODEL_RATE_HZ, Clip, Options, Recognizer, Settings
from parakeet_stt.testing.contracts import RecognizerContract
from telephone_keys import HIGH_HZ, KEYS, LOW_HZ, TelephoneKeys


def dialled(keys: str) -> Clip:
    """Press each key for 100 ms, with pauses as long."""
    time_s = np.arange(MODEL_RATE_HZ // 10) / MODEL_RATE_HZ
    pieces = [np.zeros(time_s.size)]
    for key in keys:
        row, column = divmod(KEYS.index(key), 4)
        low, high = (np.sin(2 * np.pi * hz * time_s) for hz in (LOW_HZ[row], HIGH_HZ[column]))
        pieces += [0.3 * (low + high), np.zeros(time_s.size)]
    return Clip(np.concatenate(pieces).astype(np.float32))


class TestTelephoneKeys(RecognizerContract):
    @pytest.fixture
    def recognizer(self) -> Recognizer:
        return TelephoneKeys(Settings())

    @pytest.fixture
    def spoken(self) -> Clip:
        return dialled("0123456789*#ABCD")

    def test_every_key_is_written_when_it_was_pressed(self, recognizer: Recognizer, spoken: Clip) -> None:
        (found,) = recognizer.recognize([spoken], [Options()])
        assert found.text == "0 1 2 3 4 5 6 7 8 9 * # A B C D"
        assert [token.start_s for token in found.tokens] == pytest.approx([0.1 + 0.2 * i for i in range(16)])
