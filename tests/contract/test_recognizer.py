"""Every recogniser keeps the port's promises: the fakes as well as the real one."""

import numpy as np
import pytest

from app.adapters.several.recognizer import SeveralRecognizers
from app.domain.audio import Clip
from app.domain.ports import Recognizer
from app.testing.contracts import RecognizerContract
from app.testing.recognizers import FakeRecognizer
from app.testing.ruler import RulerRecognizer, RulerWord, encode_words
from tests.recordings import recordings


class TestFake(RecognizerContract):
    @pytest.fixture
    def recognizer(self) -> Recognizer:
        return FakeRecognizer("Hello there, it is so good to hear you.")

    @pytest.fixture
    def spoken(self) -> Clip:
        return Clip(np.random.default_rng(1).normal(0, 0.1, 48_000).astype(np.float32))


class TestRuler(RecognizerContract):
    @pytest.fixture
    def recognizer(self) -> Recognizer:
        return RulerRecognizer()

    @pytest.fixture
    def spoken(self) -> Clip:
        starts = range(1_000, 40_000, 7_000)
        return encode_words([RulerWord(number=i, start_sample=at, n_samples=5_001) for i, at in enumerate(starts)], 3.0)


class TestSeveral(TestRuler):
    @pytest.fixture
    def recognizer(self) -> Recognizer:
        return SeveralRecognizers([RulerRecognizer(), RulerRecognizer()])


class TestBundled(RecognizerContract):
    @pytest.fixture
    def recognizer(self, bundled_recognizer: Recognizer) -> Recognizer:
        return bundled_recognizer

    @pytest.fixture
    def spoken(self) -> Clip:
        return recordings()[0].clip
