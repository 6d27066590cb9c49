"""Both normalisers keep the promises of the port."""

import pytest

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.ports import AudioNormalizer
from app.testing.contracts_audio import AudioNormalizerContract
from app.testing.fakes import FakeNormalizer


class TestFake(AudioNormalizerContract):
    @pytest.fixture
    def normalizer(self) -> AudioNormalizer:
        return FakeNormalizer()


class TestTorchaudio(AudioNormalizerContract):
    @pytest.fixture
    def normalizer(self) -> AudioNormalizer:
        return TorchaudioNormalizer()
