"""Files of any usual format to mono at the model's rate: PyAV decodes, torchaudio's filter resamples."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Never

import numpy as np
from numpy.typing import NDArray

from ...domain.audio import MODEL_RATE_HZ, Samples
from ...domain.errors import AudioRejectedError, AudioTooLongError
from ...domain.ports import Block, DecodeLimits, Resampler
from .resampler import open_sinc_resampler
from .sniff import Recognised, recognise

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

# No ADPCM: its frame counts have overflowed more than one reader. No pcm_s64: PyAV makes no array of it.
_DECODERS: Final = frozenset({
    "aac", "alac", "flac", "libopus", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "vorbis",
    "pcm_alaw", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le",
    "pcm_s32be", "pcm_s32le", "pcm_s8", "pcm_u8",
})  # fmt: skip
_DEMUXERS: Final = "aac,aiff,flac,matroska,mov,mp3,ogg,wav"
_MOST_CHANNELS: Final = 8
_RATES_HZ: Final = range(1_000, 192_000 + 1)
_LIVE_RATES_HZ: Final = range(8_000, 192_000 + 1)
_BLOCK_S: Final = 2  # decoded together: long enough that the cost per block is nothing, short enough for a small memory
_BLOCK_VALUES: Final = 400_000  # of all channels: 3 MB where they are doubles
_LONGEST_BLOCK_S: Final = 10
_WAV_PROBE_BYTES: Final = "8192"  # else FFmpeg looks through 5 MB for DTS inside: 3 ms for a clip of 3 s
_MOST_DAMAGED_PACKETS: Final = 1_000  # in a row; then what follows is no audio
_LOUDEST: Final = 8.0  # floats may leave [-1, 1], +18 dB is generous; 1e38 would overflow the model's features
_UNSTATED_S: Final = 0.3  # an encoder's delay and last frame may be counted in a stated duration, or not
_UNDECODABLE: Final = "nothing in the file can be decoded"
_SCALES: Final = {"u8": 2**-7, "s16": 2**-15, "s32": 2**-31, "flt": 1.0, "dbl": 1.0}  # libswresample/audioconvert.c


class TorchaudioNormalizer:
    """Decodes wav, flac, mp3, ogg, mp4, webm, aac and aiff. The file must be seekable, and stays open.

    The content decides which one of these demuxers opens; it reads through the file object alone, so nothing in a file can
    make it open another file or an address. Damaged packets within a file are left out.
    """

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        found = recognise(file)
        if found is None:
            raise AudioRejectedError(_UNDECODABLE)
        with _open(file, found) as container:
            decoding = _Decoding(container, found, limits)
            rate_hz, resampler = 0, open_sinc_resampler(MODEL_RATE_HZ)
            for samples, source_rate_hz in decoding.stretches():
                if source_rate_hz != rate_hz:  # the first stretch, or a file of parts that differ
                    yield from _in_blocks(resampler.finish())
                    rate_hz, resampler = source_rate_hz, open_sinc_resampler(source_rate_hz)
                yield from _in_blocks(resampler.push(samples))
            rest = resampler.finish()
            truncated = decoding.broke_off()
            if rest.size or truncated:
                yield Block(rest, truncated=truncated)

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        if source_rate_hz not in _LIVE_RATES_HZ:
            raise ValueError(f"the rate must be within [{_LIVE_RATES_HZ[0]}, {_LIVE_RATES_HZ[-1]}] Hz, not {source_rate_hz}")
        return open_sinc_resampler(source_rate_hz)


class _Decoding:
    """One file being decoded: counts against the limits, and remembers how it went."""

    def __init__(self, container: "InputContainer", found: Recognised, limits: DecodeLimits) -> None:
        self._container = container
        self._found = found
        self._limits = limits
        self._stream = _sound_track(container)
        self._stated_s = _stated_s(container, self._stream) if found.states_duration else None
        self._decoded_s = 0.0
        self._n_source_samples = 0
        self._failed_last = False

    def stretches(self) -> Iterator[tuple[Samples, int]]:
        """Yield about `_BLOCK_S` of mono audio each, with its rate in Hz, which may change.

        Raises:
            AudioRejectedError: The file is damaged, and nothing came before the damage.
            AudioTooLongError: More than the limits was decoded.
        """
        waiting: list[NDArray[Any]] = []  # each (channels, n_samples), all of one kind
        kind: tuple[str, int, int] | None = None
        n_waiting = 0
        for frame in self._frames():
            if (frame_kind := (frame.format.name, frame.layout.nb_channels, frame.sample_rate)) != kind:
                if kind is not None and waiting:
                    yield _mono(waiting, kind), kind[2]
                    waiting, n_waiting = [], 0
                kind = frame_kind
                _check_shape(channels=kind[1], rate_hz=kind[2])
            self._count(frame)
            waiting.append(_planes(frame))
            n_waiting += frame.samples
            if n_waiting >= min(_BLOCK_S * frame.sample_rate, _BLOCK_VALUES // frame_kind[1]):
                yield _mono(waiting, frame_kind), frame_kind[2]
                waiting, n_waiting = [], 0
        if kind is not None and waiting:
            yield _mono(waiting, kind), kind[2]
        if not self._n_source_samples and (
            self._failed_last or self._found.broken_off or not self._stream.codec_context.sample_rate
        ):
            raise AudioRejectedError(_UNDECODABLE)

    def broke_off(self) -> bool:
        """Say whether, after all stretches, the file ended before its time, as far as it shows that."""
        if self._failed_last or self._found.broken_off:
            return True
        return self._stated_s is not None and self._decoded_s < 0.99 * self._stated_s - _UNSTATED_S

    def _frames(self) -> Iterator["AudioFrame"]:
        from av.error import FFmpegError

        packets = self._container.demux(self._stream)
        n_damaged = 0
        while n_damaged < _MOST_DAMAGED_PACKETS:
            try:
                if (packet := next(packets, None)) is None:
                    return
            except FFmpegError as failure:
                _pass_on_want_of_memory(failure)
                self._failed_last = True
                return  # the container itself is broken here
            try:
                frames = self._stream.codec_context.decode(packet)
            except FFmpegError as failure:
                _pass_on_want_of_memory(failure)
                n_damaged += 1
                self._failed_last = True
                continue
            for frame in frames:
                if frame.samples:
                    n_damaged = 0
                    self._failed_last = False
                    yield frame

    def _count(self, frame: "AudioFrame") -> None:
        self._decoded_s += frame.samples / frame.sample_rate
        self._n_source_samples += frame.samples * frame.layout.nb_channels
        too_long = self._decoded_s > self._limits.max_duration_s + 1e-6  # 1e-6: the sum is rounded at every step
        if too_long or self._n_source_samples > self._limits.max_source_samples:
            raise AudioTooLongError(limit_s=self._limits.max_duration_s)


class _Window:
    """The part of a file that FFmpeg may see. It has no name and no way to write or close; positions stay within the file."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        self._end = max(start, file.seek(0, 2))
        self._at = start

    def read(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(min(size, self._end - self._at))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (self._start, self._at, self._end)[whence]
        self._at = min(max(base + offset, self._start), self._end)  # a header may point anywhere, even beyond 2**63
        return self.tell()

    def tell(self) -> int:
        return self._at - self._start


def _open(file: BinaryIO, found: Recognised) -> "InputContainer":
    import av  # late: it loads FFmpeg
    from av.error import FFmpegError

    options = {"format_whitelist": _DEMUXERS, "codec_whitelist": ",".join(sorted(_DECODERS)), "protocol_whitelist": ""}
    if found.demuxer == "wav":
        options["probesize"] = _WAV_PROBE_BYTES
    try:
        return av.open(
            _Window(file, found.start),
            mode="r",
            format=found.demuxer,
            container_options=options,
            metadata_errors="replace",
            io_open=_refuse,
        )
    except FFmpegError as exc:
        _pass_on_want_of_memory(exc)
        raise AudioRejectedError(_UNDECODABLE) from exc


def _pass_on_want_of_memory(failure: Exception) -> None:
    """Want of memory says nothing of the file, and what was not decoded for it must not pass for damage."""
    if isinstance(failure, MemoryError):
        raise failure


def _refuse(*_: object) -> Never:
    raise AudioRejectedError("the file refers to other files")


def _sound_track(container: "InputContainer") -> "AudioStream":
    """Return the first sound track, ready to decode in this one thread."""
    if not container.streams.audio:
        raise AudioRejectedError("the file holds no sound")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None or context.name not in _DECODERS:
        raise AudioRejectedError(_UNDECODABLE)
    if context.sample_rate or context.layout.nb_channels:  # some formats say so only in the first frame
        _check_shape(channels=context.layout.nb_channels, rate_hz=context.sample_rate)
    context.thread_count = 1
    return stream


def _check_shape(*, channels: int, rate_hz: int) -> None:
    if not 1 <= channels <= _MOST_CHANNELS:
        raise AudioRejectedError(f"the audio has {channels} channels, and the most is {_MOST_CHANNELS}")
    if rate_hz not in _RATES_HZ:
        raise AudioRejectedError(f"the audio has a rate of {rate_hz} Hz; it must be within [{_RATES_HZ[0]}, {_RATES_HZ[-1]}]")


def _stated_s(container: "InputContainer", stream: "AudioStream") -> float | None:
    """Return how long the sound track should be, where the container says so of it and not of a picture beside it."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1_000_000  # AV_TIME_BASE
    return None


def _planes(frame: "AudioFrame") -> NDArray[Any]:
    """Return the frame's samples as they are, shape (channels, n_samples)."""
    values = frame.to_ndarray()
    return values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T


def _mono(waiting: list[NDArray[Any]], kind: tuple[str, int, int]) -> Samples:
    """Return the mean of the channels: float32, shape (n_samples,), finite and within [-_LOUDEST, _LOUDEST]."""
    values = np.concatenate(waiting, axis=1)
    sample_format = kind[0].removesuffix("p")
    if sample_format in ("flt", "dbl"):
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(-_LOUDEST, _LOUDEST).astype(np.float32)
    else:
        zero = 128 if sample_format == "u8" else 0
        values = (values.astype(np.float32) - np.float32(zero)) * np.float32(_SCALES[sample_format])
    mono: Samples = values[0] if values.shape[0] == 1 else values.mean(axis=0, dtype=np.float32)
    return mono


def _in_blocks(samples: Samples) -> Iterator[Block]:
    """Yield blocks of at most `_LONGEST_BLOCK_S`: a frame of a slow recording may last a minute."""
    longest = _LONGEST_BLOCK_S * MODEL_RATE_HZ
    for start in range(0, samples.size, longest):
        yield Block(samples[start : start + longest])
