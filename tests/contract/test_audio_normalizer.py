"""All normalisers keep the promises of the port."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from app.adapters.processes.normalizer import ProcessNormalizer
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


@pytest.fixture(scope="module")
def in_processes() -> Iterator[AudioNormalizer]:
    with closing(ProcessNormalizer(TorchaudioNormalizer(), processes=2)) as opened:
        yield opened


class TestTorchaudioInProcesses(AudioNormalizerContract):
    @pytest.fixture
    def normalizer(self, in_processes: AudioNormalizer) -> AudioNormalizer:
        return in_processes
