"""Raw live sound as samples."""

import numpy as np

from app.domain.pcm import PcmReader


def test_floats_that_are_no_sound_are_silence_and_loud_ones_are_clipped() -> None:
    sent = np.array([0.5, np.nan, np.inf, -np.inf, 1e38, -2.0, 1e-45], "<f4")
    assert PcmReader("pcm_f32le").push(sent.tobytes()).tolist() == [0.5, 0.0, 0.0, 0.0, 1.0, -1.0, np.float32(1e-45)]


def test_a_sample_may_come_in_pieces() -> None:
    reader = PcmReader("pcm_s16le")
    assert [reader.push(piece).tolist() for piece in (b"\0", b"\x40\0", b"", b"\xc0")] == [[], [0.5], [], [-0.5]]
