"""Both voice detectors keep the promises of the port."""

import numpy as np
import pytest
import torch

from app.adapters.silero.detector import SileroVoiceDetector
from app.domain.audio import FRAME_SAMPLES, Clip
from app.domain.ports import VoiceDetector
from app.testing.contracts_audio import VoiceDetectorContract, bursts
from app.testing.fakes import FakeVoiceDetector


class TestFake(VoiceDetectorContract):
    @pytest.fixture
    def detector(self) -> VoiceDetector:
        return FakeVoiceDetector()


class TestSilero(VoiceDetectorContract):
    @pytest.fixture
    def detector(self) -> VoiceDetector:
        return SileroVoiceDetector()

    def test_batches_say_what_the_packages_own_wrapper_says_frame_by_frame(self, detector: VoiceDetector) -> None:
        from silero_vad import load_silero_vad

        threads = torch.get_num_threads()
        wrapper = load_silero_vad()
        torch.set_num_threads(threads)
        heard = bursts(25)[: 780 * FRAME_SAMPLES]  # 780 frames: more than one batch
        with torch.inference_mode():
            expected = [float(wrapper(torch.from_numpy(frame), 16_000)) for frame in heard.reshape(-1, FRAME_SAMPLES)]
        np.testing.assert_allclose(detector.probabilities(Clip(heard)), expected, atol=1e-4)


def test_loading_silero_leaves_the_thread_count_alone() -> None:
    before = torch.get_num_threads()
    SileroVoiceDetector()
    assert torch.get_num_threads() == before
