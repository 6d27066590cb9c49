"""Every format that people send, whole, halved and hostile, through the real decoder."""

import resource
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
import torch
import torchaudio

from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.adapters.torchaudio.resampler import _UnevenResampler, open_sinc_resampler
from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.errors import AudioRejectedError, AudioTooLongError
from app.domain.ports import Block, DecodeLimits
from app.testing.contracts_audio import HOUR, joined, wav_bytes

DURATION_S: Final = 2.0
LOSSLESS: Final = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le")
# container, encoder, least signal-to-noise ratio in dB where samples survive, None where only their likeness does
FORMATS: Final[tuple[tuple[str, str, int | None], ...]] = (
    ("wav", "pcm_u8", 30),
    *(("wav", codec, 60) for codec in LOSSLESS),
    ("wav", "pcm_mulaw", 30),
    ("wav", "pcm_alaw", 30),
    ("flac", "flac", 60),
    ("aiff", "pcm_s16be", 60),
    ("mp3", "libmp3lame", None),
    ("mp2", "mp2", None),
    ("ogg", "libopus", None),
    ("ogg", "flac", 60),
    ("webm", "libopus", None),
    ("matroska", "pcm_s16le", 60),
    ("mp4", "aac", None),
    ("ipod", "aac", None),  # .m4a
    ("ipod", "alac", 60),
    ("adts", "aac", None),
)
_SAMPLE_FORMATS: Final = {
    "pcm_u8": "u8", "pcm_s16le": "s16", "pcm_s16be": "s16", "pcm_s24le": "s32", "pcm_s32le": "s32", "pcm_f32le": "flt",
    "pcm_f64le": "dbl", "pcm_mulaw": "s16", "pcm_alaw": "s16", "flac": "s16", "alac": "s16p", "libmp3lame": "s16p",
    "mp2": "s16", "libopus": "s16", "aac": "fltp", "adpcm_ima_wav": "s16p", "ac3": "fltp",
}  # fmt: skip
_LAYOUTS: Final = {1: "mono", 2: "stereo"}


def signal(rate_hz: int, *, duration_s: float = DURATION_S) -> Samples:
    """Return a sweep from 200 to 2,000 Hz over a steady tone: no two stretches alike, so that a shift would show."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    sweep = np.sin(2 * np.pi * (200 * time_s + 1_800 / (2 * duration_s) * time_s**2))
    return np.asarray(0.4 * sweep + 0.1 * np.sin(2 * np.pi * 330 * time_s), np.float32)


def encoded(container: str, codec: str, *, rate_hz: int = 16_000, channels: int = 1, samples: Samples | None = None) -> bytes:
    """Return a file of `samples`; of two channels the right one is half as loud."""
    mono: Samples = signal(rate_hz) if samples is None else samples
    both = np.stack([mono, mono * np.float32(0.5)][:channels])
    file = BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout=_LAYOUTS[channels], format=_SAMPLE_FORMATS[codec])
        converter = av.AudioResampler(_SAMPLE_FORMATS[codec], _LAYOUTS[channels], rate_hz, frame_size=stream.frame_size or 1_024)
        for start in range(0, mono.size, rate_hz):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(both[:, start : start + rate_hz]), "fltp", _LAYOUTS[channels])
            frame.sample_rate, frame.pts = rate_hz, start
            for ready in converter.resample(frame):
                output.mux(stream.encode(ready))
        for ready in converter.resample(None):
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))
    return file.getvalue()


def decoded(data: bytes, limits: DecodeLimits = HOUR) -> list[Block]:
    return list(TorchaudioNormalizer().blocks(BytesIO(data), limits=limits))


def assert_alike(found: Samples, expected: Samples, *, least_db: int | None) -> None:
    """Compare away from the ends; a lossy codec may shift the signal by a little and changes every sample."""
    inner = slice(2_000, min(found.size, expected.size) - 2_000)
    if least_db is not None:
        noise = found[inner] - expected[inner]
        assert 10 * np.log10(np.mean(expected[inner] ** 2) / (np.mean(noise**2) + 1e-20)) > least_db
        return
    spectrum = np.fft.rfft(found, 2 * expected.size).conj() * np.fft.rfft(expected, 2 * expected.size)
    correlation = np.fft.irfft(spectrum) / (np.linalg.norm(found) * np.linalg.norm(expected))
    shift = int(np.argmax(correlation))
    assert correlation.max() > 0.97
    assert min(shift, 2 * expected.size - shift) < 0.15 * MODEL_RATE_HZ


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "codec", "least_db"), FORMATS, ids=str)
def test_every_format_gives_the_signal_back(container: str, codec: str, least_db: int | None, channels: int) -> None:
    blocks = decoded(encoded(container, codec, channels=channels))
    found, expected = joined(blocks), signal(MODEL_RATE_HZ) * (1 if channels == 1 else 0.75)
    assert not any(block.truncated for block in blocks)
    assert abs(found.size - expected.size) < 0.3 * MODEL_RATE_HZ
    if least_db is not None:
        assert found.size == expected.size
    assert np.abs(found).max() < 1
    assert_alike(found, expected, least_db=least_db)


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz"),
    [
        *(("wav", "pcm_s16le", rate_hz) for rate_hz in (8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 44_099)),
        *(("mp3", "libmp3lame", rate_hz) for rate_hz in (8_000, 22_050, 44_100, 48_000)),
        *(("flac", "flac", rate_hz) for rate_hz in (8_000, 44_100, 96_000)),
        *(("mp4", "aac", rate_hz) for rate_hz in (8_000, 44_100, 48_000)),
        *(("webm", "libopus", rate_hz) for rate_hz in (8_000, 24_000, 48_000)),
    ],
)
def test_every_rate_gives_the_signal_back(container: str, codec: str, rate_hz: int) -> None:
    blocks = decoded(encoded(container, codec, rate_hz=rate_hz))
    assert not any(block.truncated for block in blocks)
    assert_alike(joined(blocks), signal(MODEL_RATE_HZ), least_db=30 if codec in ("pcm_s16le", "flac") else None)


@pytest.mark.parametrize(("container", "codec", "least_db"), FORMATS, ids=str)
def test_half_a_file_gives_its_half_or_is_rejected(container: str, codec: str, least_db: int | None) -> None:
    data = encoded(container, codec, samples=signal(16_000, duration_s=6))
    try:
        blocks = decoded(data[: len(data) // 2])
    except AudioRejectedError:
        assert container in ("mp4", "ipod")  # what says where everything lies was at the end
        return
    found = joined(blocks)
    assert 1.8 * MODEL_RATE_HZ < found.size < 4.2 * MODEL_RATE_HZ
    assert_alike(found, signal(16_000, duration_s=6)[: found.size], least_db=least_db)
    assert not any(block.truncated for block in blocks[:-1])
    assert blocks[-1].truncated or container in ("mp2", "adts")  # a bare row of frames: half of it may be as good a file


def test_a_cut_mp4_with_its_index_in_front_gives_its_half() -> None:
    file = BytesIO()
    fragments = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    source = av.open(BytesIO(encoded("mp4", "aac", samples=signal(16_000, duration_s=6))), "r")
    with source, av.open(file, "w", format="mp4", options=fragments) as output:
        copy = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    whole = file.getvalue()
    assert_alike(joined(decoded(whole)), signal(16_000, duration_s=6), least_db=None)
    half = joined(decoded(whole[: len(whole) // 2]))
    assert 1.5 * MODEL_RATE_HZ < half.size < 4.5 * MODEL_RATE_HZ


def riff(fmt: bytes, data: bytes, *, data_size: int | None = None) -> bytes:
    claimed = len(data) if data_size is None else data_size
    body = b"WAVE" + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt + struct.pack("<4sI", b"data", claimed) + data
    return struct.pack("<4sI", b"RIFF", min(0xFFFFFFFF, len(body))) + body


def fmt_chunk(*, tag: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16, align: int | None = None) -> bytes:
    align = channels * bits // 8 if align is None else align
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * align & 0xFFFFFFFF, align & 0xFFFF, bits)


PCM: Final = (signal(16_000) * 32_767).astype("<i2").tobytes()
JUNK: Final = {
    "empty": b"",
    "one byte": b"R",
    "zeros": bytes(10_000),
    "text": b"1 2 3 testing " * 200,
    "html": b"<!doctype html><html><body>404</body></html>" * 50,
    "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)) * 20,
    "elf": b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20,
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "random": np.random.default_rng(0).bytes(20_000),
    "id3 then junk": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"no audio here " * 500,
    "id3 beyond the end": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
    "riff header alone": riff(fmt_chunk(), b"", data_size=1_000),
    "riff without fmt": b"RIFF\x10\0\0\0WAVEdata\xff\xff\xff\x7f" + bytes(100),
    "flac header alone": encoded("flac", "flac")[:42],
    "mp4 header alone": encoded("mp4", "aac")[:40],
    "webm header alone": encoded("webm", "libopus")[:60],
    "1024 channels": riff(fmt_chunk(channels=1_024), bytes(1_024 * 2 * 100)),
    "9 channels": riff(fmt_chunk(channels=9), bytes(9 * 2 * 1_000)),
    "0 channels": riff(fmt_chunk(channels=0, align=2), PCM),
    "0 Hz": riff(fmt_chunk(rate_hz=0), PCM),
    "4 GHz": riff(fmt_chunk(rate_hz=4_000_000_000), PCM),
    "655,350 Hz": encoded("flac", "flac", rate_hz=655_350, samples=np.zeros(20_000, np.float32)),
    "64-bit integers": riff(fmt_chunk(bits=64), PCM),
    "ima adpcm": encoded("wav", "adpcm_ima_wav"),
    "ac3": encoded("matroska", "ac3", rate_hz=48_000),
}  # fmt: skip


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_audio_we_take_is_rejected(name: str) -> None:
    with pytest.raises(AudioRejectedError) as refusal:
        decoded(JUNK[name])
    assert not isinstance(refusal.value, AudioTooLongError)


def test_a_data_size_nobody_knew_is_not_a_cut() -> None:
    for data_size in (0, 0xFFFFFFFF, 0x7FFFF000):
        blocks = decoded(riff(fmt_chunk(), PCM, data_size=data_size))
        assert joined(blocks).size == len(PCM) // 2
        assert not blocks[-1].truncated


def test_a_zero_block_align_and_odd_bytes_do_no_harm() -> None:
    assert joined(decoded(riff(fmt_chunk(), PCM[:-1]))).size == len(PCM) // 2 - 1
    with suppress(AudioRejectedError):  # either answer will do
        assert joined(decoded(riff(fmt_chunk(align=0), PCM))).size <= len(PCM) // 2


def test_many_channels_at_a_high_rate_take_little_memory() -> None:
    values = np.full((6 * 192_000, 8), 0.25, "<f8")
    file = BytesIO(riff(fmt_chunk(tag=3, channels=8, rate_hz=192_000, bits=64), values.tobytes()))
    tracemalloc.start()
    try:
        heard = sum(block.samples.size for block in TorchaudioNormalizer().blocks(file, limits=HOUR))
        assert tracemalloc.get_traced_memory()[1] < 30_000_000  # two seconds of it are 25 MB, and were held four times
    finally:
        tracemalloc.stop()
    assert heard == 6 * MODEL_RATE_HZ


def test_a_file_of_another_format_within_wav_is_heard() -> None:
    heard = joined(decoded(encoded("wav", "libmp3lame", rate_hz=44_100)))
    assert_alike(heard, signal(MODEL_RATE_HZ), least_db=None)


def test_floats_come_out_finite_and_bounded() -> None:
    values = np.tile(np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-42, 0.25], np.float32), 100)
    found = joined(decoded(riff(fmt_chunk(tag=3, bits=32), values.astype("<f4").tobytes())))
    np.testing.assert_allclose(found[:7], [0, 0, 0, 8, -8, 0, 0.25], atol=1e-6)
    doubles = np.tile(np.array([np.nan, 1e300, 0.5]), 100)
    np.testing.assert_allclose(joined(decoded(riff(fmt_chunk(tag=3, bits=64), doubles.tobytes())))[:3], [0, 8, 0.5])


def test_tags_and_trailing_rubbish_do_no_harm() -> None:
    tag = b"ID3\x03\0\0\0\0\x40\0" + b"APIC" + bytes(8_188)
    for container, codec in (("mp3", "libmp3lame"), ("flac", "flac"), ("wav", "pcm_s16le"), ("adts", "aac")):
        assert_alike(joined(decoded(tag + encoded(container, codec))), signal(16_000), least_db=None)
    assert joined(decoded(encoded("wav", "pcm_s16le") + b"PK\x03\x04" * 500)).size == 2 * MODEL_RATE_HZ


def test_a_recording_that_starts_within_a_frame_is_heard() -> None:
    found = joined(decoded(encoded("mp3", "libmp3lame", samples=signal(16_000, duration_s=6))[777:]))
    assert found.size > 4 * MODEL_RATE_HZ


def test_damage_in_the_middle_costs_no_more_than_itself() -> None:
    data = bytearray(encoded("mp3", "libmp3lame", samples=signal(16_000, duration_s=6)))
    data[len(data) // 2 : len(data) // 2 + 300] = np.random.default_rng(1).bytes(300)
    assert joined(decoded(bytes(data))).size > 5.5 * MODEL_RATE_HZ


def test_recordings_written_one_after_another_are_all_heard() -> None:
    parts = [encoded("ogg", "flac", rate_hz=16_000), encoded("ogg", "flac", rate_hz=16_000)]  # as radio recorders do
    assert joined(decoded(b"".join(parts))).size == 4 * MODEL_RATE_HZ


def test_only_the_first_sound_track_is_heard_and_pictures_are_not() -> None:
    file = BytesIO()
    with av.open(file, "w", format="matroska") as output:
        video: Any = output.add_stream("mpeg4", rate=10)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        tracks: list[Any] = [output.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for _ in range(20):
            output.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        for track, loudness in zip(tracks, (1.0, 0.1), strict=True):
            values = (signal(16_000) * loudness * 32_767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(values, "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, 0
            output.mux(track.encode(frame))
            output.mux(track.encode(None))
        output.mux(video.encode(None))
    blocks = decoded(file.getvalue())
    assert_alike(joined(blocks), signal(16_000), least_db=60)
    assert not blocks[-1].truncated


def test_a_small_file_of_half_an_hour_takes_little_memory_and_is_stopped_at_the_limit() -> None:
    half_an_hour = encoded("flac", "flac", rate_hz=8_000, samples=np.zeros(30 * 60 * 8_000, np.float32))
    assert len(half_an_hour) < 500_000
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    heard = 0
    for block in TorchaudioNormalizer().blocks(BytesIO(half_an_hour), limits=HOUR):
        assert block.samples.size <= 10 * MODEL_RATE_HZ
        heard += block.samples.size
    assert heard == 30 * 60 * MODEL_RATE_HZ
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 40_000  # decoded, it is 115 MB
    for limits in (DecodeLimits(max_duration_s=60), DecodeLimits(max_duration_s=7_200, max_source_samples=100_000)):
        file = BytesIO(half_an_hour)
        with pytest.raises(AudioTooLongError):
            list(TorchaudioNormalizer().blocks(file, limits=limits))


def mutations(data: bytes, *, seed: int, n: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    for _ in range(n):
        mutated = bytearray(data)
        for at in random.integers(0, min(len(data), 400), 4):
            mutated[at] = random.integers(256)
        yield bytes(mutated)


@pytest.mark.parametrize(("container", "codec"), [row[:2] for row in FORMATS])
def test_a_damaged_header_is_rejected_or_decoded_and_nothing_else(container: str, codec: str) -> None:
    for data in mutations(encoded(container, codec, samples=signal(16_000, duration_s=0.5)), seed=len(codec), n=15):
        with suppress(AudioRejectedError):
            assert np.isfinite(joined(decoded(data, DecodeLimits(max_duration_s=20)))).all()


def test_a_trouble_of_the_disk_is_not_called_a_bad_file() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 20_000:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        list(TorchaudioNormalizer().blocks(Broken(encoded("wav", "pcm_s16le")), limits=HOUR))


def test_nothing_is_written_to_the_terminal_and_nothing_heavy_is_loaded_early(tmp_path: Path) -> None:
    (tmp_path / "cut.mp3").write_bytes(
        encoded("mp3", "libmp3lame", rate_hz=44_100)[:1_500] + bytes(500) + b"\xff\xfb\x90\x00" * 300
    )
    program = (
        "import sys; from app.adapters.torchaudio.normalizer import TorchaudioNormalizer\n"
        "import app.adapters.silero.detector\n"
        "assert not {'torch', 'torchaudio', 'av', 'silero_vad'} & set(sys.modules)\n"
        "from app.domain.ports import DecodeLimits\n"
        "with open(sys.argv[1], 'rb') as file: list(TorchaudioNormalizer().blocks(file, limits=DecodeLimits(max_duration_s=9)))\n"
        "assert 'av' in sys.modules and not {'torch', 'torchaudio'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cut.mp3")],
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_pieces_joined_equal_torchaudios_own_resampling(rate_hz: int) -> None:
    heard = np.random.default_rng(rate_hz).uniform(-1, 1, rate_hz + 13).astype(np.float32)
    # The transform, for its kernel is computed in doubles; the function's, in floats, is off by 2e-5.
    expected = torchaudio.transforms.Resample(rate_hz, MODEL_RATE_HZ)(torch.from_numpy(heard)).numpy()
    resampler = open_sinc_resampler(rate_hz)
    found = np.concatenate([*(resampler.push(heard[at : at + 480]) for at in range(0, heard.size, 480)), resampler.finish()])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("rate_hz", [1_001, 8_009, 44_099, 191_999])
def test_a_rate_that_shares_no_factor_is_exact_and_costs_no_memory(rate_hz: int) -> None:
    heard = signal(rate_hz)
    tracemalloc.start()
    try:
        resampler = open_sinc_resampler(rate_hz)
        pieces = [resampler.push(heard[at : at + 5_000]) for at in range(0, heard.size, 5_000)]
        found = np.concatenate([*pieces, resampler.finish()])
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert found.size == 2 * MODEL_RATE_HZ
    at_once = open_sinc_resampler(rate_hz)
    np.testing.assert_allclose(np.concatenate([at_once.push(heard), at_once.finish()]), found, atol=1e-5)
    if rate_hz > 4_000:  # the sweep reaches 2 kHz
        assert_alike(found, signal(MODEL_RATE_HZ), least_db=60)


def test_both_ways_of_resampling_agree() -> None:
    heard = np.random.default_rng(0).uniform(-1, 1, 5_000).astype(np.float32)
    for rate_hz in (8_000, 44_100, 96_000):
        uneven = _UnevenResampler(Fraction(rate_hz, MODEL_RATE_HZ))
        even = open_sinc_resampler(rate_hz)
        found, expected = (np.concatenate([way.push(heard), way.finish()]) for way in (uneven, even))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_wav_of_the_standard_library_is_exact() -> None:
    tone = signal(16_000)
    expected = np.round(tone * 32_767).astype(np.float32) * np.float32(2**-15)
    np.testing.assert_array_equal(joined(decoded(wav_bytes(tone, rate_hz=16_000))), expected)
