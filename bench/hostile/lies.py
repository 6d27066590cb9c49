"""Heads that lie: about rates, channels, widths, lengths and what the file is. Sound is counted as it is decoded."""

import struct
from collections.abc import Iterator
from functools import partial
from typing import Final

from tests.adapters.bombs import ogg_checksum

from .case import NO_AUDIO, OK, SENTENCE, TOO_SHORT, Case, upload
from .sounds import (
    A_LAW,
    ADPCM_IMA,
    ADPCM_MS,
    EXTENSIBLE,
    FLOAT,
    GSM,
    MPEG,
    PCM,
    UNKNOWN,
    aiff,
    chunk,
    encoded,
    extended,
    flac_saying,
    fmt,
    patched,
    riff,
    sentence,
    shorts,
    wav,
)

_OF_PCM: Final = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"  # the identifier that WAVE_FORMAT_EXTENSIBLE gives PCM
_MOST: Final = 2**63 - 1


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _wav_formats()
    yield from _wav_lengths()
    yield from _wav_chunks()
    yield from _aiff()
    yield from _flac()
    yield from _compressed()
    yield from _mp4()
    yield from _webm()


def _wav_formats() -> Iterator[Case]:
    for rate_hz in (0, 1, 999, 192_001, 655_350, 2**31, UNKNOWN):
        yield upload(f"wav: {rate_hz} Hz", partial(wav, rate_hz=rate_hz), NO_AUDIO)
    for channels in (0, 9, 255, 1_024, 65_535):
        yield upload(f"wav: {channels} channels", partial(wav, channels=channels), NO_AUDIO)
    for bits, told in ((0, NO_AUDIO), (1, OK), (12, SENTENCE), (20, OK), (255, NO_AUDIO), (65_535, NO_AUDIO)):
        yield upload(f"wav: {bits} bits", partial(wav, bits=bits), told)
    for align in (0, 1, 3):
        yield upload(f"wav: blocks of {align} bytes", partial(wav, align=align), SENTENCE)
    yield upload("wav: blocks of 65,535 bytes", partial(wav, align=65_535), OK)
    for name, tag, bits in (
        ("Microsoft's ADPCM", ADPCM_MS, 4), ("IMA's ADPCM", ADPCM_IMA, 4), ("GSM", GSM, 0), ("MPEG", MPEG, 0),
        ("G.726", 0x45, 2), ("AC-3", 0x2000, 16), ("AAC", 0xFF, 16), ("nothing known", 0x7777, 16), ("format 0", 0, 16),
    ):  # fmt: skip
        yield upload(f"wav: {name}", partial(wav, tag=tag, bits=bits), NO_AUDIO)
    overflow = partial(wav, tag=ADPCM_IMA, channels=65_535, bits=4, align=65_535, size=UNKNOWN - 1)
    yield upload("wav: ADPCM whose frames overflow 32 bits", overflow, NO_AUDIO)
    yield upload("wav: floats of 16 bits", partial(wav, tag=FLOAT), NO_AUDIO)
    yield upload("wav: A-law of 16 bits", partial(wav, tag=A_LAW), OK)
    for name, more in {
        "whose extension is cut": struct.pack("<HH", 22, 16), "of an unknown kind": struct.pack("<HHI", 22, 16, 4) + b"?" * 16,
        "whose extension claims 65,535 bytes": struct.pack("<HHI", 65_535, 16, 4) + _OF_PCM,
    }.items():  # fmt: skip
        told = SENTENCE if "claims" in name else NO_AUDIO
        yield upload(f"wav: extensible, {name}", partial(_with_fmt, tag=EXTENSIBLE, more=more), told)
    whole = struct.pack("<HHI", 22, 16, 4) + _OF_PCM
    yield upload("wav: extensible, right", partial(_with_fmt, tag=EXTENSIBLE, more=whole), SENTENCE)


def _wav_lengths() -> Iterator[Case]:
    for size in (UNKNOWN, UNKNOWN - 1, 0x7FFFFFFF, 0x7FFFF000, 10_000_000):
        yield upload(f"wav: claims {size:#x} bytes of sound", partial(wav, size=size), SENTENCE)
    yield upload("wav: claims 0 bytes of sound, as one that was streamed", partial(wav, size=0), SENTENCE)
    yield upload("wav: claims a byte", partial(wav, size=1), NO_AUDIO)
    for size in (0, 4, 2**31, UNKNOWN):
        yield upload(f"wav: RIFF of {size:#x} bytes", partial(_claiming, size), SENTENCE)
    for kind in (b"RF64", b"BW64"):
        for name, n_bytes, told in (("2^63-1", _MOST, SENTENCE), ("2^64-1", 2**64 - 1, NO_AUDIO), ("no", 0, NO_AUDIO)):
            yield upload(f"wav: {kind.decode()} of {name} bytes", partial(_long, kind, n_bytes), told)
    yield upload("wav: RF64 without its sizes", partial(wav, kind=b"RF64", size=UNKNOWN), NO_AUDIO)
    fact = chunk(b"fact", struct.pack("<I", UNKNOWN))
    yield upload("wav: claims 2^32-1 frames", lambda: riff(fmt(), fact, _sound()), SENTENCE)


def _wav_chunks() -> Iterator[Case]:
    yield upload("wav: sound before its format", lambda: riff(_sound(), fmt()), SENTENCE)
    yield upload("wav: no format", lambda: riff(_sound()), NO_AUDIO)
    for n_bytes, told in ((0, NO_AUDIO), (1, NO_AUDIO), (14, OK)):
        yield upload(f"wav: format of {n_bytes} bytes", partial(_short_fmt, n_bytes), told)
    huge = lambda: riff(chunk(b"fmt ", fmt()[8:], size=UNKNOWN), _sound())  # noqa: E731
    yield upload("wav: format that claims 4 GB", huge, NO_AUDIO)
    yield upload("wav: 1 MB of format", lambda: riff(fmt(more=bytes(1_000_000)), _sound()), SENTENCE)
    yield upload("wav: two formats", lambda: riff(fmt(), fmt(channels=2, rate_hz=8_000), _sound()), SENTENCE)
    yield upload("wav: 20,000 empty chunks", lambda: riff(fmt(), chunk(b"junk", b"") * 20_000, _sound()), SENTENCE)
    yield upload("wav: 10 MB of nothing before", lambda: riff(chunk(b"junk", bytes(10_000_000)), fmt(), _sound()), SENTENCE)
    leap = chunk(b"junk", b"", size=UNKNOWN - 7)
    yield upload("wav: a chunk that leads back to itself", lambda: riff(leap, fmt(), _sound()), NO_AUDIO)
    listed = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"x", size=UNKNOWN))
    yield upload("wav: a list with an entry of 4 GB", lambda: riff(fmt(), listed, _sound()), SENTENCE)
    bext = chunk(b"bext", bytes(100), size=UNKNOWN)
    yield upload("wav: a broadcast chunk of 4 GB", lambda: riff(fmt(), bext, _sound()), NO_AUDIO)


def _aiff() -> Iterator[Case]:
    yield upload("aiff: right", aiff, SENTENCE)
    for name, rate in {
        "0": bytes(10), "-1": b"\xbf\xff\x80" + bytes(7), "infinity": b"\x7f\xff\x80" + bytes(7),
        "no number": b"\x7f\xff\xc0" + bytes(7),
        "10^9": extended(1e9), "the largest": b"\x7f\xfe" + b"\xff" * 8, "0.5": extended(0.5),
    }.items():  # fmt: skip
        yield upload(f"aiff: rate {name}", partial(aiff, rate=rate), NO_AUDIO)
    for channels in (0, -1, 9, 1_025, 32_767):
        yield upload(f"aiff: {channels} channels", partial(aiff, channels=channels), NO_AUDIO)
    yield upload("aiff: 2^32-1 frames", partial(aiff, frames=UNKNOWN), NO_AUDIO)
    yield upload("aiff: no frames", partial(aiff, frames=0), SENTENCE)
    yield upload("aiff: 0 bits", partial(aiff, bits=0), OK)
    for bits in (33, 32_767):
        yield upload(f"aiff: {bits} bits", partial(aiff, bits=bits), NO_AUDIO)
    yield upload("aiff: sound 4 GB further on", partial(aiff, offset=UNKNOWN), NO_AUDIO)
    for coding in (b"ima4", b"MAC6", b"????"):
        yield upload(f"aiff: compressed as {coding.decode()}", partial(aiff, compression=coding), NO_AUDIO)


def _flac() -> Iterator[Case]:
    yield upload("flac: another head, right", flac_saying, SENTENCE)
    for rate_hz in (0, 655_350, 1_048_575):  # each frame tells rate and channels again
        yield upload(f"flac: {rate_hz} Hz in the head", partial(flac_saying, rate_hz=rate_hz), SENTENCE)
    yield upload("flac: 8 channels in the head", partial(flac_saying, channels=8), SENTENCE)
    yield upload("flac: 1 bit in the head", partial(flac_saying, bits=1), NO_AUDIO)
    yield upload("flac: blocks of 0 samples", partial(flac_saying, least_block=0), SENTENCE)
    yield upload("flac: claims 2^36-1 samples", partial(flac_saying, n_samples=2**36 - 1), SENTENCE)
    yield upload("flac: claims one sample", partial(flac_saying, n_samples=1), SENTENCE)
    picture = b"\6\xff\xff\xff" + struct.pack(">II", 3, UNKNOWN) + b"image/png"
    yield upload("flac: a picture whose type has 4 GB", lambda: encoded("flac")[:42] + picture + encoded("flac")[42:], NO_AUDIO)
    comments = b"\4\0\0\x08" + struct.pack("<II", UNKNOWN, UNKNOWN)
    yield upload("flac: 2^32-1 comments", lambda: encoded("flac")[:42] + comments + encoded("flac")[42:], SENTENCE)


def _compressed() -> Iterator[Case]:
    for frames in (0, 1, UNKNOWN):
        xing = partial(patched, encoded("mp3"), b"Info", 4, struct.pack(">II", 1, frames))
        yield upload(f"mp3: claims {frames} frames", xing, SENTENCE)
    for name, offset, new, told in (
        ("0 channels", 9, b"\0", NO_AUDIO), ("255 channels", 9, b"\xff", NO_AUDIO), ("version 255", 8, b"\xff", NO_AUDIO),
        ("all samples left out", 10, b"\xff\xff", OK), ("0 Hz before it was encoded", 12, bytes(4), SENTENCE),
        ("gain of 128 dB", 16, b"\xff\x7f", OK), ("mapping 255", 18, b"\xff", NO_AUDIO),
    ):  # fmt: skip
        yield upload(f"opus: {name}", partial(_opus, offset, new), told)
    for value in (_MOST, -1, -(2**63)):
        last = partial(_last_granule, value)
        yield upload(f"opus: ends at sample {value}", last, OK)
    rate = partial(patched, encoded("vorbis"), b"\1vorbis", 12, struct.pack("<I", UNKNOWN))
    yield upload("vorbis: 2^32-1 Hz", rate, NO_AUDIO)
    yield upload("vorbis: 255 channels", partial(patched, encoded("vorbis"), b"\1vorbis", 11, b"\xff"), NO_AUDIO)
    yield upload("aac: a rate that does not exist", lambda: _each_adts(2, 0x3C, 0x3C), NO_AUDIO)
    yield upload("aac: frames of 0 bytes", lambda: _each_adts(4, 0xFF, 0), NO_AUDIO)


def _mp4() -> Iterator[Case]:
    for name, mark, offset, new, told in (
        ("2^32-1 samples of one size", b"stsz", 8, struct.pack(">II", 1, UNKNOWN), NO_AUDIO),
        ("2^32-1 sizes", b"stsz", 12, struct.pack(">I", UNKNOWN), NO_AUDIO),
        ("2^32-1 times", b"stts", 8, struct.pack(">I", UNKNOWN), NO_AUDIO),
        ("2^32-1 samples at a time", b"stts", 12, struct.pack(">I", UNKNOWN), SENTENCE),
        ("2^32-1 chunks", b"stco", 8, struct.pack(">I", UNKNOWN), SENTENCE),
        ("sound at byte 2^32-1", b"stco", 12, struct.pack(">I", UNKNOWN), NO_AUDIO),
        ("clock of 0 Hz", b"mdhd", 16, bytes(4), TOO_SHORT),
        ("duration 2^32-1", b"mdhd", 20, struct.pack(">I", UNKNOWN), SENTENCE),
        ("0 channels", b"mp4a\0\0\0\0\0\0\0\1", 24, bytes(2), SENTENCE),
        ("65,535 channels", b"mp4a\0\0\0\0\0\0\0\1", 24, b"\xff\xff", SENTENCE),
        ("codec unknown", b"mp4a\0\0\0\0\0\0\0\1", 0, b"zzzz", SENTENCE),  # it is named again further on
        ("an index inside itself", b"trak", -4, struct.pack(">I", 8), NO_AUDIO),
        ("an index of 4 GB", b"moov", -4, struct.pack(">I", UNKNOWN), SENTENCE),
        ("a codec's head of 256 MB", b"esds", 4, b"\0\0\0\0\3\xff\xff\xff\x7f", SENTENCE),
    ):  # fmt: skip
        yield upload(f"mp4: {name}", partial(_patched_mp4, mark, offset, new), told)


def _patched_mp4(mark: bytes, offset: int, new: bytes) -> bytes:
    return patched(encoded("m4a"), mark, offset, new)


def _webm() -> Iterator[Case]:
    for name, value in {"0": 0.0, "-1": -1.0, "infinity": float("inf"), "no number": float("nan"), "10^300": 1e300}.items():
        rate = b"\xb5\x88" + struct.pack(">d", value)  # SamplingFrequency; Opus has its own
        yield upload(f"webm: {name} Hz", partial(_patched_webm, b"\xb5\x88", rate), SENTENCE)
    yield upload("webm: 255 channels", partial(_patched_webm, b"\x9f\x81\x01", b"\x9f\x81\xff"), SENTENCE)
    yield upload("webm: clock of 0", partial(_patched_webm, b"\x2a\xd7\xb1\x83", b"\x2a\xd7\xb1\x83\0\0\0"), SENTENCE)
    yield upload("webm: codec unknown", partial(_patched_webm, b"A_OPUS", b"A_NONE"), NO_AUDIO)
    yield upload("webm: an encrypted track", partial(_patched_webm, b"\x83\x81\x02", b"\x83\x81\x7f"), NO_AUDIO)


def _patched_webm(mark: bytes, new: bytes) -> bytes:
    return patched(encoded("webm"), mark, 0, new)


def _sound() -> bytes:
    return chunk(b"data", shorts(sentence()))


def _claiming(n_bytes: int) -> bytes:
    return riff(fmt(), _sound(), size=n_bytes)


def _with_fmt(*, tag: int, more: bytes) -> bytes:
    return riff(fmt(tag=tag, more=more), _sound())


def _short_fmt(n_bytes: int) -> bytes:
    return riff(chunk(b"fmt ", fmt(tag=PCM)[8 : 8 + n_bytes]), _sound())


def _long(kind: bytes, n_bytes: int) -> bytes:
    sizes = chunk(b"ds64", struct.pack("<QQQI", n_bytes, n_bytes, n_bytes, 0))
    return riff(sizes, fmt(), chunk(b"data", shorts(sentence()), size=UNKNOWN), kind=kind, size=UNKNOWN)


def _opus(offset: int, new: bytes) -> bytes:
    return _summed(patched(encoded("opus"), b"OpusHead", offset, new))


def _last_granule(value: int) -> bytes:
    data = encoded("opus")
    at = data.rindex(b"OggS")
    return _summed(data[: at + 6] + struct.pack("<q", value) + data[at + 14 :])


def _summed(data: bytes) -> bytes:
    """Return Ogg whose pages have right checksums again."""
    out, at = bytearray(data), 0
    while at < len(data):
        sizes = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + len(sizes) + sum(sizes)
        out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = struct.pack("<I", ogg_checksum(bytes(out[at:end])))
        at = end
    return bytes(out)


def _each_adts(offset: int, mask: int, value: int) -> bytes:
    """Return AAC with some bits of every frame's head changed."""
    data, at = bytearray(encoded("aac")), 0
    while at + 7 <= len(data):
        n_bytes = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        data[at + offset] = data[at + offset] & ~mask & 0xFF | value
        at += n_bytes
    return bytes(data)
