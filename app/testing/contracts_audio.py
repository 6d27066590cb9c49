"""What every VoiceDetector and AudioNormalizer must do. A subclass gives the fixture `detector` or `normalizer`."""

import wave
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import pairwise
from tempfile import TemporaryFile
from time import perf_counter
from typing import BinaryIO, Final

import numpy as np

from ..domain.audio import FRAME_SAMPLES, MODEL_RATE_HZ, Clip, Samples
from ..domain.errors import AudioRejectedError, AudioTooLongError
from ..domain.ports import AudioNormalizer, Block, DecodeLimits, Resampler, VoiceDetector

HOUR: Final = DecodeLimits(max_duration_s=3600)
_LONGEST_BLOCK_S: Final = 30  # "some seconds"


def bursts(duration_s: float, *, seed: int = 0) -> Samples:
    """Return half-second bursts of a buzzing tone with pauses as long between them: float32 within [-1, 1]."""
    time_s = np.arange(round(duration_s * MODEL_RATE_HZ)) / MODEL_RATE_HZ
    noise = np.random.default_rng(seed).normal(0, 0.01, time_s.size)
    voice = sum(np.sin(2 * np.pi * harmonic * (120 + 20 * np.sin(6 * time_s)) * time_s) / harmonic for harmonic in range(1, 12))
    return np.asarray((0.15 * voice + noise) * (time_s % 1 < 0.5), np.float32)


def sine(*, hz: float, rate_hz: int, duration_s: float, peak: float = 0.5) -> Samples:
    return np.asarray(peak * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz), np.float32)


def wav_bytes(samples: Samples, *, rate_hz: int) -> bytes:
    """Return a 16-bit WAV file of `samples`, shape (n_samples,) or (n_channels, n_samples)."""
    channels = np.atleast_2d(samples)
    file = BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(channels.shape[0])
        recording.setsampwidth(2)
        recording.setframerate(rate_hz)
        recording.writeframes(np.round(channels.T * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def joined(blocks: list[Block]) -> Samples:
    return np.concatenate([np.zeros(0, np.float32), *(block.samples for block in blocks)])


class VoiceDetectorContract:
    """The promises of `VoiceDetector` and `VoiceStream`."""

    def test_every_started_frame_has_one_probability(self, detector: VoiceDetector) -> None:
        heard = bursts(10)
        for n_samples, n_frames in ((0, 0), (1, 1), (511, 1), (512, 1), (513, 2), (16_000, 32), (150_001, 293)):
            found = detector.probabilities(Clip(heard[:n_samples]))
            assert found.dtype == np.float32
            assert found.shape == (n_frames,)
            assert ((found >= 0) & (found <= 1)).all()

    def test_silence_holds_no_speech(self, detector: VoiceDetector) -> None:
        for n_samples in (0, 1, 16_000, 160_000):
            assert (detector.probabilities(Clip(np.zeros(n_samples, np.float32))) < 0.5).all()

    def test_the_last_frame_is_filled_up_with_zeros(self, detector: VoiceDetector) -> None:
        heard = bursts(0.4)[:5_000]
        filled = np.concatenate([heard, np.zeros(-heard.size % FRAME_SAMPLES, np.float32)])
        np.testing.assert_allclose(detector.probabilities(Clip(heard)), detector.probabilities(Clip(filled)), atol=1e-4)

    def test_a_clip_is_left_as_it_was(self, detector: VoiceDetector) -> None:
        heard = bursts(1)
        heard.flags.writeable = False
        detector.probabilities(Clip(heard))
        detector.open_stream().push(heard)

    def test_a_stream_says_the_same_however_it_is_cut(self, detector: VoiceDetector) -> None:
        heard = bursts(4)
        whole = detector.open_stream().push(heard)
        assert whole.dtype == np.float32
        assert whole.shape == (heard.size // FRAME_SAMPLES,)
        for step in (160, 511, 512, 513, 1_000, 20_000):
            stream = detector.open_stream()
            found = [stream.push(heard[start : start + step]) for start in range(0, heard.size, step)]
            np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-4)

    def test_a_stream_takes_single_samples_and_none(self, detector: VoiceDetector) -> None:
        heard = bursts(0.2)
        stream = detector.open_stream()
        found = [stream.push(heard[at : at + 1]) for at in range(heard.size)]
        assert [at for at, probabilities in enumerate(found) if probabilities.size] == list(range(511, heard.size, FRAME_SAMPLES))
        assert stream.push(heard[:0]).shape == (0,)
        np.testing.assert_allclose(np.concatenate(found), detector.open_stream().push(heard), atol=1e-4)

    def test_a_stream_and_a_clip_start_alike(self, detector: VoiceDetector) -> None:
        heard = bursts(8)
        streamed = detector.open_stream().push(heard)
        np.testing.assert_allclose(detector.probabilities(Clip(heard)), streamed, atol=1e-4)

    def test_a_long_clip_is_heard_like_a_stream(self, detector: VoiceDetector) -> None:
        heard = bursts(40)  # longer than any batch; a few frames may differ where a detector works in parallel
        streamed = detector.open_stream().push(heard)
        differs = np.abs(detector.probabilities(Clip(heard)) - streamed) > 0.05
        assert differs.mean() < 0.02

    def test_streams_hear_nothing_of_one_another(self, detector: VoiceDetector) -> None:
        heard = [bursts(2, seed=1), np.zeros(2 * MODEL_RATE_HZ, np.float32), -bursts(2, seed=2)]
        alone = [detector.open_stream().push(samples) for samples in heard]
        streams = [detector.open_stream() for _ in heard]
        together: list[list[Samples]] = [[] for _ in heard]
        for start in range(0, heard[0].size, 700):
            for mine, stream, samples in zip(together, streams, heard, strict=True):
                mine.append(stream.push(samples[start : start + 700]))
        for mine, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(np.concatenate(mine), expected, atol=1e-4)

    def test_threads_may_call_at_once(self, detector: VoiceDetector) -> None:
        clips = [Clip(bursts(1 + seed, seed=seed)) for seed in range(4)]
        alone = [detector.probabilities(clip) for clip in clips]
        with ThreadPoolExecutor(4) as threads:
            for found, expected in zip(threads.map(detector.probabilities, clips * 3), alone * 3, strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-4)


class AudioNormalizerContract:
    """The promises of `AudioNormalizer` and `Resampler`."""

    def test_a_file_becomes_short_blocks_at_the_models_rate(self, normalizer: AudioNormalizer) -> None:
        tone = sine(hz=200, rate_hz=16_000, duration_s=70)
        blocks = list(normalizer.blocks(BytesIO(wav_bytes(tone, rate_hz=16_000)), limits=HOUR))
        assert all(block.samples.dtype == np.float32 and block.samples.ndim == 1 for block in blocks)
        assert max(block.samples.size for block in blocks) <= _LONGEST_BLOCK_S * MODEL_RATE_HZ
        assert not any(block.truncated for block in blocks)
        np.testing.assert_allclose(joined(blocks), tone, atol=1e-4)

    def test_a_tone_is_the_same_tone_whatever_its_rate(self, normalizer: AudioNormalizer) -> None:
        expected = sine(hz=200, rate_hz=16_000, duration_s=3)
        for rate_hz in (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000):
            file = BytesIO(wav_bytes(sine(hz=200, rate_hz=rate_hz, duration_s=3), rate_hz=rate_hz))
            found = joined(list(normalizer.blocks(file, limits=HOUR)))
            assert abs(found.size - expected.size) <= 2
            inner = slice(200, expected.size - 200)  # at the ends a filter meets silence
            np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)

    def test_channels_are_averaged(self, normalizer: AudioNormalizer) -> None:
        left, right = sine(hz=200, rate_hz=16_000, duration_s=1), sine(hz=300, rate_hz=16_000, duration_s=1, peak=0.3)
        for channels in (np.stack([left, right]), np.stack([left, -left]), np.stack([left, right, left, right, left, right])):
            found = joined(list(normalizer.blocks(BytesIO(wav_bytes(channels, rate_hz=16_000)), limits=HOUR)))
            np.testing.assert_allclose(found, channels.mean(axis=0), atol=1e-4)

    def test_the_end_is_not_lost(self, normalizer: AudioNormalizer) -> None:
        for n_samples in (1, 2, 100, 8_001):
            file = BytesIO(wav_bytes(np.full(n_samples, 0.5, np.float32), rate_hz=8_000))
            assert joined(list(normalizer.blocks(file, limits=HOUR))).size == 2 * n_samples

    def test_more_seconds_than_allowed_are_refused_early(self, normalizer: AudioNormalizer) -> None:
        n_bytes = 2_000_000_000  # 35 hours, of which nothing is stored
        empty = wav_bytes(np.zeros(0, np.float32), rate_hz=8_000)
        riff_bytes, data_bytes = ((len(empty) - 8 + n_bytes).to_bytes(4, "little"), n_bytes.to_bytes(4, "little"))
        head = empty[:4] + riff_bytes + empty[8:-4] + data_bytes
        with TemporaryFile() as file:
            file.write(head)
            file.truncate(len(head) + n_bytes)
            started_s = perf_counter()
            assert _refused_as_too_long(normalizer, file, DecodeLimits(max_duration_s=2))
            assert perf_counter() - started_s < 5

    def test_exactly_the_allowed_length_is_taken(self, normalizer: AudioNormalizer) -> None:
        for rate_hz in (16_000, 44_100):
            data = wav_bytes(np.zeros(2 * rate_hz, np.float32), rate_hz=rate_hz)
            assert not _refused_as_too_long(normalizer, BytesIO(data), DecodeLimits(max_duration_s=2))
            assert _refused_as_too_long(normalizer, BytesIO(data), DecodeLimits(max_duration_s=1.99))

    def test_every_channel_counts_against_the_samples_allowed(self, normalizer: AudioNormalizer) -> None:
        data = wav_bytes(np.zeros((4, 16_000), np.float32), rate_hz=16_000)
        assert _refused_as_too_long(normalizer, BytesIO(data), DecodeLimits(max_duration_s=9, max_source_samples=63_999))
        assert not _refused_as_too_long(normalizer, BytesIO(data), DecodeLimits(max_duration_s=9, max_source_samples=64_000))

    def test_a_file_that_breaks_off_gives_what_is_there(self, normalizer: AudioNormalizer) -> None:
        tone = sine(hz=200, rate_hz=16_000, duration_s=4)
        data = wav_bytes(tone, rate_hz=16_000)
        for n_bytes in (len(data) // 2, len(data) // 2 + 1):
            blocks = list(normalizer.blocks(BytesIO(data[:n_bytes]), limits=HOUR))
            assert [block.truncated for block in blocks] == [False] * (len(blocks) - 1) + [True]
            found = joined(blocks)
            assert abs(found.size - tone.size // 2) < 100
            np.testing.assert_allclose(found, tone[: found.size], atol=1e-4)

    def test_what_holds_no_audio_is_rejected(self, normalizer: AudioNormalizer) -> None:
        header_alone = wav_bytes(np.zeros(8_000, np.float32), rate_hz=8_000)[:44]
        for data in (b"", b"\0", b"RIFF", b"hello, this is no recording\n" * 100, bytes(5_000), header_alone):
            assert _rejected(normalizer, data), data[:20]

    def test_a_name_decides_nothing(self, normalizer: AudioNormalizer) -> None:
        text = BytesIO(b"just a text\n" * 50)
        text.name = "speech.wav"
        assert _rejected(normalizer, text.getvalue(), text)
        speech = BytesIO(wav_bytes(np.zeros(8_000, np.float32), rate_hz=8_000))
        speech.name = "notes.txt"
        assert joined(list(normalizer.blocks(speech, limits=HOUR))).size == 16_000

    def test_a_sound_track_of_no_samples_gives_nothing(self, normalizer: AudioNormalizer) -> None:
        empty = BytesIO(wav_bytes(np.zeros(0, np.float32), rate_hz=16_000))
        assert joined(list(normalizer.blocks(empty, limits=HOUR))).size == 0

    def test_the_file_stays_open_and_may_be_read_again(self, normalizer: AudioNormalizer) -> None:
        file = BytesIO(wav_bytes(sine(hz=200, rate_hz=22_050, duration_s=5), rate_hz=22_050))
        steps = normalizer.blocks(file, limits=HOUR)
        next(steps)
        del steps  # whoever stops listening leaves nothing behind
        first, second = (joined(list(normalizer.blocks(file, limits=HOUR))) for _ in range(2))
        assert not file.closed
        np.testing.assert_array_equal(first, second)

    def test_threads_may_call_at_once(self, normalizer: AudioNormalizer) -> None:
        rates_hz = (8_000, 22_050, 44_100, 16_000)
        files = [wav_bytes(sine(hz=200 + i, rate_hz=hz, duration_s=3), rate_hz=hz) for i, hz in enumerate(rates_hz)]

        def decoded(data: bytes) -> Samples:
            return joined(list(normalizer.blocks(BytesIO(data), limits=HOUR)))

        alone = [decoded(data) for data in files]
        with ThreadPoolExecutor(4) as threads:
            for found, expected in zip(threads.map(decoded, files * 3), alone * 3, strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_resampling_in_pieces_is_resampling_at_once(self, normalizer: AudioNormalizer) -> None:
        for rate_hz in (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 192_000):
            heard = np.random.default_rng(rate_hz).uniform(-1, 1, rate_hz).astype(np.float32)
            whole = _resampled(normalizer.open_resampler(source_rate_hz=rate_hz), [heard])
            assert whole.dtype == np.float32
            assert abs(whole.size - MODEL_RATE_HZ) <= 1
            for step in (1, 7, 441, 960, 12_345):
                some = heard[:3_000] if step < 100 else heard
                cuts = [*range(0, some.size, step), some.size]
                pieces = [some[start:end] for start, end in pairwise(cuts)]
                found = _resampled(normalizer.open_resampler(source_rate_hz=rate_hz), [*pieces, some[:0]])
                expected = _resampled(normalizer.open_resampler(source_rate_hz=rate_hz), [some])
                assert found.shape == expected.shape
                np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_a_stream_is_not_held_back(self, normalizer: AudioNormalizer) -> None:
        for rate_hz in (8_000, 24_000, 48_000):
            resampler = normalizer.open_resampler(source_rate_hz=rate_hz)
            assert resampler.push(np.zeros(rate_hz, np.float32)).size >= 0.95 * MODEL_RATE_HZ

    def test_audio_at_the_models_rate_passes_untouched(self, normalizer: AudioNormalizer) -> None:
        heard = np.random.default_rng(0).uniform(-1, 1, 4_000).astype(np.float32)
        np.testing.assert_array_equal(_resampled(normalizer.open_resampler(source_rate_hz=16_000), [heard]), heard)

    def test_resamplers_hear_nothing_of_one_another(self, normalizer: AudioNormalizer) -> None:
        quiet, loud = (normalizer.open_resampler(source_rate_hz=24_000) for _ in range(2))
        loud.push(np.ones(999, np.float32))
        assert not quiet.push(np.zeros(24_000, np.float32)).any()
        assert not quiet.finish().any()

    def test_nothing_pushed_gives_nothing(self, normalizer: AudioNormalizer) -> None:
        for rate_hz in (8_000, 16_000, 48_000):
            assert _resampled(normalizer.open_resampler(source_rate_hz=rate_hz), []).size == 0

    def test_an_impossible_rate_is_refused(self, normalizer: AudioNormalizer) -> None:
        for rate_hz in (-1, 0, 7_999, 192_001):
            try:
                normalizer.open_resampler(source_rate_hz=rate_hz)
            except ValueError:
                continue
            raise AssertionError(f"{rate_hz} Hz was accepted")


def _resampled(resampler: Resampler, pieces: list[Samples]) -> Samples:
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])


def _rejected(normalizer: AudioNormalizer, data: bytes, file: BytesIO | None = None) -> bool:
    try:
        list(normalizer.blocks(file or BytesIO(data), limits=HOUR))
    except AudioTooLongError:
        return False
    except AudioRejectedError:
        return True
    return False


def _refused_as_too_long(normalizer: AudioNormalizer, file: BinaryIO, limits: DecodeLimits) -> bool:
    try:
        list(normalizer.blocks(file, limits=limits))
    except AudioTooLongError:
        return True
    return False
