"""Small files that are large once they are opened: hours of sound, indexes, tags and pictures without end, packed nothing."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Final

import av
import numpy as np

from tests.adapters import bombs
from tests.recordings import encode, resampled

from .case import NO_AUDIO, OK, SENTENCE, SILENT, TOO_LONG, Case, upload
from .sounds import box, chunk, encoded, fmt, patched, riff, sentence, silence, wav

_OPUS_HZ: Final = 48_000
_LONG_S: Final = 300.0  # for hours to be decoded on a busy machine
_PACKED_BYTES: Final = 100_000_000
_PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": partial(gzip.compress, mtime=0), "bzip2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress,
}  # fmt: skip
_HOURS: Final = 5


def cases() -> Iterator[Case]:
    """Yield the family; the first finds decoders that have decoded nothing yet."""
    yield upload("opus: 10 minutes of speech at 6 kbit/s", _speech, OK, within_s=_LONG_S, heard_long=True)
    yield upload("opus: 9 hours of noise at 6 kbit/s", _noise, TOO_LONG, within_s=_LONG_S, heard_long=True)
    yield from _hours()
    yield from _ratios()
    yield from _indexes()
    yield from _tags()
    yield from _packed()


def _hours() -> Iterator[Case]:
    yield upload("opus: 9 hours at 1.2 kbit/s", partial(bombs.opus, hours=9), TOO_LONG, within_s=_LONG_S)
    for kind in ("mp3", "aac"):
        yield upload(f"{kind}: {_HOURS} hours of silence", partial(_frames, kind), TOO_LONG, within_s=_LONG_S)
    hours = partial(bombs.flac, rate_hz=16_000, channels=1, duration_s=3_600 * _HOURS)
    yield upload(f"flac: {_HOURS} hours of constant blocks", hours, TOO_LONG, within_s=_LONG_S)
    yield upload("wav: 14 hours at 1,000 Hz", lambda: wav(b"\x80" * 50_000_000, rate_hz=1_000, bits=8), TOO_LONG, within_s=_LONG_S)
    yield upload("wav: 19 minutes of mu-law silence", partial(_mu_law, 19), SILENT, within_s=_LONG_S)
    yield upload("wav: 100 minutes of mu-law silence", partial(_mu_law, 100), TOO_LONG, within_s=_LONG_S)
    yield upload("wav: 60 s, the longest that goes to the model whole", silence(60), SILENT)


def _ratios() -> Iterator[Case]:
    for channels, rate_hz in ((8, 192_000), (8, 44_099), (2, 191_999), (1, 1_000)):
        build = partial(bombs.flac, rate_hz=rate_hz, channels=channels, duration_s=300)
        yield upload(f"flac: {channels} channels of {rate_hz} Hz, constant blocks", build, SILENT, within_s=_LONG_S)
    odd = partial(bombs.flac, rate_hz=655_350, channels=8, duration_s=60)
    yield upload("flac: 8 channels of 655,350 Hz", odd, NO_AUDIO)
    yield upload(
        "wav: 8 channels of doubles at 192,000 Hz",
        lambda: wav(bytes(50_000_000), tag=3, channels=8, rate_hz=192_000, bits=64),
        SILENT,
    )
    yield upload("mp3: the bit rate changes with every frame", _changing, OK)


def _indexes() -> Iterator[Case]:
    yield upload("mov: an index of 300 MB, packed", partial(bombs.mov_compressed, n_bytes=300_000_000), NO_AUDIO)
    yield upload("mov: packed within packed", _packed_twice, NO_AUDIO)
    yield upload("webm: private data of 250 MB, claimed", partial(bombs.matroska_claiming, n_bytes=250_000_000), NO_AUDIO)
    yield upload("webm: private data of 2^56 bytes, claimed", partial(bombs.matroska_claiming, n_bytes=2**55), NO_AUDIO)
    yield upload("webm: 100,000 tracks", _many_tracks, NO_AUDIO)
    yield upload("webm: masters within masters", lambda: _webm(b"\x18\x53\x80\x67\x01" + b"\xff" * 7, 100_000), NO_AUDIO)
    yield upload("mp4: 20,000 boxes within boxes", partial(_nested, 20_000), NO_AUDIO)
    yield upload("mp4: 50,000 tracks", lambda: _mp4(box(b"trak", box(b"tkhd", bytes(84))) * 50_000), NO_AUDIO)
    yield upload("mp4: 2 million samples of no bytes", _many_samples, NO_AUDIO)
    yield upload("mp4: a million fragments", lambda: _mp4(b"") + box(b"moof", box(b"mfhd", bytes(8))) * 1_000_000, NO_AUDIO)
    for n_labels in (4_000_000, 100_000_000):
        yield upload(f"mp4: a mix with {n_labels:,} names, claimed", partial(_named_mix, n_labels), NO_AUDIO)
    yield upload("ogg: 10,000 streams at a time", _many_streams, NO_AUDIO)
    yield upload("ogg: a million empty pages", lambda: encoded("opus") + _empty_pages(1_000_000), SENTENCE)


def _tags() -> Iterator[Case]:
    yield upload("opus: comments of 60 MB", partial(bombs.opus_with_comments, n_bytes=60_000_000), NO_AUDIO)
    yield upload("mp3: a picture of 50 MB before", lambda: _id3(bytes(50_000_000)) + encoded("mp3"), SENTENCE)
    yield upload("mp3: 16 tags before", lambda: _id3(b"x") * 16 + encoded("mp3"), SENTENCE)
    yield upload("mp3: 10,000 tags before", lambda: _id3(b"") * 10_000 + encoded("mp3"), NO_AUDIO)
    yield upload("mp3: a tag that claims 256 MB", lambda: b"ID3\4\0\0\x7f\x7f\x7f\x7f" + encoded("mp3"), NO_AUDIO)
    yield upload("mp3: a packed tag of 200 MB", lambda: _packed_tag(200_000_000) + encoded("mp3"), SENTENCE)
    pictures = b"\6" + (2**24 - 1).to_bytes(3, "big") + bytes(2**24 - 1)
    yield upload("flac: three pictures of 16 MB", lambda: encoded("flac")[:42] + pictures * 3 + encoded("flac")[42:], SENTENCE)
    yield upload("mp4: a cover of 50 MB", lambda: encoded("m4a") + box(b"udta", box(b"meta", bytes(50_000_000))), SENTENCE)
    yield upload("wav: 100,000 lists", lambda: riff(fmt(), chunk(b"LIST", b"INFO") * 100_000, wav()[36:]), SENTENCE)
    yield upload("aiff: 40 MB of text", lambda: _aiff_text(40_000_000), NO_AUDIO)


def _packed() -> Iterator[Case]:
    for name, pack in _PACKERS.items():
        yield upload(f"{name}: 100 MB of zeros", partial(_zeros, pack), NO_AUDIO)
    yield upload("zip: 100 MB of zeros", _zip, NO_AUDIO)
    yield upload("gzip: the sentence", lambda: gzip.compress(wav(), mtime=0), NO_AUDIO)


@cache
def _speech() -> bytes:
    """Return what brought 14.9 GB of memory elsewhere (CVE-2026-54233), but shorter, as all of it is written down."""
    return _opus(resampled(sentence(), rate_hz=_OPUS_HZ), duration_s=600)


def _mu_law(minutes: int) -> bytes:
    return wav(b"\xff" * 480_000 * minutes, tag=7, bits=8, rate_hz=8_000)


def _noise() -> bytes:
    minute = _opus(np.random.default_rng(0).normal(0, 0.05, 60 * _OPUS_HZ).astype(np.float32), duration_s=60)
    return minute * (9 * 60)  # a chain of streams, which Ogg allows


def _opus(samples: "np.ndarray", *, duration_s: float) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="ogg", container_options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libopus", rate=_OPUS_HZ)
        stream.layout, stream.bit_rate = "mono", 6_000
        for at in range(0, round(duration_s * _OPUS_HZ), samples.size):
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = _OPUS_HZ, at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def _frames(kind: str) -> bytes:
    """Return one second of silence after another."""
    container, codec = {"mp3": ("mp3", "libmp3lame"), "aac": ("adts", "aac")}[kind]
    second = encode(np.zeros(16_000, np.float32), container=container, codec=codec, rate_hz=16_000, channels=1)
    if kind == "mp3":
        second = second[second.index(b"\xff\xf3", second.index(b"Info")) :]  # without tags
    return second * (3_600 * _HOURS)


def _changing() -> bytes:
    frames = []
    for kbits in range(1, 15):  # MPEG 1, layer III, 44.1 kHz: 32 to 320 kbit/s
        n_bytes = 144_000 * (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[kbits - 1] // 44_100
        frames.append((b"\xff\xfb" + bytes([kbits << 4, 0xC0])).ljust(n_bytes, b"\0"))
    return b"".join(frames) * 100


def _packed_twice() -> bytes:
    inner = box(
        b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", 10**8), zlib.compress(bytes(10**8), 9)))
    )
    packed = struct.pack(">I", len(inner)) + zlib.compress(inner, 9)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed)))


def _webm(element: bytes, n: int) -> bytes:
    return bombs.matroska_claiming(n_bytes=10)[:40] + element * n


def _many_tracks() -> bytes:
    entry = b"\xae" + bytes([0x80 | 18]) + b"\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x02\x86\x86A_OPUS"
    tracks = entry * 100_000
    head = encoded("webm")[: encoded("webm").index(b"\x16\x54\xae\x6b")]
    return head + b"\x16\x54\xae\x6b" + (len(tracks) | 1 << 56).to_bytes(8, "big") + tracks


def _mp4(tracks: bytes) -> bytes:
    return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", box(b"mvhd", bytes(100)), tracks)


def _nested(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = box(b"trak", body)
    return _mp4(body)


def _many_samples() -> bytes:
    n = 2_000_000
    table = box(b"stbl", box(b"stsz", struct.pack(">III", 0, 0, n), bytes(4 * n)), box(b"stts", struct.pack(">IIII", 0, 1, n, 1)))
    return _mp4(box(b"trak", box(b"mdia", box(b"mdhd", bytes(24)), box(b"minf", table))))


def _named_mix(n_names: int) -> bytes:
    """Return what makes gigabytes of 17 bytes elsewhere (CVE-2026-66037): FFmpeg keeps an empty name for each that is missing."""
    mix = b"\0" + bytes(n_names >> 7 * i & 0x7F | (0x80 if i < 3 else 0) for i in range(4))
    objects = b"\xf8\6iamf\0\0\x10" + bytes([len(mix)]) + mix
    mixes = box(b"iacb", b"\1", bytes([len(objects)]), objects)
    data = encoded("m4a")
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4a\0\0\0\0\0\0\0\1"):
        (size,) = struct.unpack_from(">I", data, data.index(parent) - 4)
        data = patched(data, parent, -4, struct.pack(">I", size + len(mixes)))
    at = data.index(b"esds") - 4
    return data[:at] + mixes + data[at:]


def _many_streams() -> bytes:
    first = encoded("opus")[: encoded("opus").index(b"OggS", 4)]
    pages = []
    for serial in range(10_000):
        page = first[:14] + struct.pack("<I", serial) + first[18:22] + bytes(4) + first[26:]
        pages.append(page[:22] + struct.pack("<I", bombs.ogg_checksum(page)) + page[26:])
    return b"".join(pages)


def _empty_pages(n: int) -> bytes:
    page = b"OggS\0\0" + bytes(8) + struct.pack("<III", 1, 0, 0) + b"\0"
    return (page[:22] + struct.pack("<I", bombs.ogg_checksum(page)) + page[26:]) * n


def _id3(body: bytes) -> bytes:
    frame = b"APIC" + bytes(_sevens(len(body))) + b"\0\0" + body
    return b"ID3\4\0\0" + bytes(_sevens(len(frame))) + frame


def _sevens(number: int) -> list[int]:
    return [number >> shift & 0x7F for shift in (21, 14, 7, 0)]


def _packed_tag(n_bytes: int) -> bytes:
    packed = zlib.compress(bytes(n_bytes), 9)
    frame = b"TXXX" + bytes(_sevens(len(packed) + 4)) + b"\0\x09" + bytes(_sevens(n_bytes & 0xFFFFFFF)) + packed
    return b"ID3\4\0\0" + bytes(_sevens(len(frame))) + frame


def _aiff_text(n_bytes: int) -> bytes:
    data = encoded("aiff")
    return data[:12] + b"ANNO" + struct.pack(">I", n_bytes) + bytes(n_bytes) + data[12:]


def _zeros(pack: Callable[[bytes], bytes]) -> bytes:
    return pack(bytes(_PACKED_BYTES))


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("sound.wav"), bytes(_PACKED_BYTES), zipfile.ZIP_DEFLATED)
    return out.getvalue()
