"""What reads sound: the formats of files, their content, and raw samples of a live session."""

import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from app.adapters.processes.confinement import Meter
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.adapters.torchaudio.sniff import recognise
from app.domain.audio import MODEL_RATE_HZ
from app.domain.errors import AudioRejectedError
from app.domain.pcm import SAMPLE_BYTES, PcmReader
from app.domain.ports import DecodeLimits
from app.settings import Settings
from app.testing.contracts_audio import bursts
from tests.adapters.bombs import flac, matroska_claiming, mov_compressed, opus, opus_with_comments
from tests.recordings import FORMATS, encode

_DEMUXERS: Final = ("aac", "aiff", "flac", "matroska", "mov", "mp3", "ogg", "wav")
_LIMITS: Final = DecodeLimits(max_duration_s=20, max_source_samples=8 * 48_000 * 20)  # short: a run shall try many files
_MEMORY_BYTES: Final = Settings().decode_memory_mib * 2**20
_LONGEST_BLOCK: Final = 30 * MODEL_RATE_HZ  # samples; the port's "some seconds", as in the contract
_RESAMPLED_MORE: Final = 0.1  # seconds that each change of rate within a file may add
_LIVE_HZ: Final = (8_000, 16_000, 24_000, 44_100, 48_000)


def sniff(data: bytes) -> None:
    """A format is one of those we decode, and begins within the file."""
    found = recognise(BytesIO(data))
    assert found is None or (found.demuxer in _DEMUXERS and 0 <= found.start <= len(data))


def decode(data: bytes) -> None:
    """Blocks are finite and no longer than allowed, alone and together; else the file is refused, or takes too much memory."""
    n_samples, was_truncated = 0, False
    with _limited_memory(), suppress(AudioRejectedError, MemoryError):
        for block in TorchaudioNormalizer().blocks(BytesIO(data), limits=_LIMITS):
            assert block.samples.dtype == np.float32
            assert block.samples.ndim == 1
            assert block.samples.size <= _LONGEST_BLOCK
            assert np.isfinite(block.samples).all()
            assert not was_truncated, "a block follows the last one"
            was_truncated = block.truncated
            n_samples += block.samples.size
            assert n_samples <= (1.01 * _LIMITS.max_duration_s + _RESAMPLED_MORE * 10) * MODEL_RATE_HZ


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Take no more than a decoding process may: there it is the process that answers for want of memory."""
    usual = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (Meter().bytes_of()[1] + _MEMORY_BYTES, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, usual)


def hear(data: bytes) -> None:
    """Samples of every encoding are within [-1, 1] and the same however they are cut, and stay finite at the model's rate."""
    encoding = list(SAMPLE_BYTES)[data[0] % len(SAMPLE_BYTES)] if data else "pcm_s16le"
    step = 1 + (data[1] if len(data) > 1 else 0)
    sound = data[2:]
    reader = PcmReader(encoding)
    cut = [reader.push(sound[at : at + step]) for at in range(0, len(sound), step)]
    whole = PcmReader(encoding).push(sound)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *cut]), whole)
    assert whole.size == len(sound) // SAMPLE_BYTES[encoding]
    assert (np.abs(whole) <= 1).all()  # no number is False
    resampler = TorchaudioNormalizer().open_resampler(source_rate_hz=_LIVE_HZ[step % len(_LIVE_HZ)])
    assert all(np.isfinite(piece).all() for piece in (*(resampler.push(piece) for piece in cut), resampler.finish()))


def files() -> Iterable[bytes]:
    """A short file of every kind, and some that are larger inside."""
    heard = bursts(0.1)
    yield from (kind.encode(heard) for kind in FORMATS.values())
    yield encode(heard, container="aiff", codec="pcm_s16be", rate_hz=22_050, channels=2)
    yield encode(heard, container="adts", codec="aac", rate_hz=16_000, channels=1)
    yield b"ID3\x04\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0" + FORMATS["mp3-libmp3lame-16000-mono"].encode(heard)
    yield opus(hours=0.003)
    yield opus_with_comments(n_bytes=2_000)
    yield flac(rate_hz=44_100, channels=8, duration_s=3)
    yield mov_compressed(n_bytes=10_000)
    yield matroska_claiming(n_bytes=10_000)


def raw_sound() -> Iterable[bytes]:
    """A little of every encoding, numbers that are none among it."""
    heard = bursts(0.02)
    floats = np.concatenate([heard[:40], np.array([np.nan, np.inf, -np.inf, 1e38], np.float32)])
    sounds = (np.asarray(heard * 32_767, "<i2").tobytes(), floats.astype("<f4").tobytes(), bytes(range(256)), bytes(range(256)))
    yield from (bytes([i, 100]) + sound for i, sound in enumerate(sounds))
    yield (Path(__file__).parents[2] / "app/samples/hello.wav").read_bytes()[:1_000]
