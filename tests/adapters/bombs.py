"""Small files that are large once they are opened, each made from scratch."""

import struct
import zlib
from typing import Final

_OGG_CRC: Final = []
for _byte in range(256):
    _rest = _byte << 24
    for _ in range(8):
        _rest = (_rest << 1 ^ (0x04C11DB7 if _rest & 0x80000000 else 0)) & 0xFFFFFFFF
    _OGG_CRC.append(_rest)
_OPUS_SILENCE: Final = b"\xf8\xff\xfe"  # 20 ms


def opus(*, hours: float) -> bytes:
    """Return Opus at 1.2 kbit/s."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 0, 48_000, 0, 0)
    page = _ogg_page([_OPUS_SILENCE] * 255, granule=960 * 255)
    return b"".join((_ogg_page([head], first=True), _ogg_page([_opus_tags(b"")]), page * round(hours * 3_600 * 50 / 255)))


def opus_with_comments(*, n_bytes: int) -> bytes:
    """Return Opus whose tags go on for page after page."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 0, 48_000, 0, 0)
    start = _ogg_page([b"OpusTags" + struct.pack("<II", 0, 1) + struct.pack("<I", n_bytes)], first=False, lacing=b"\xff", fill=255)
    more = _ogg_page([], lacing=b"\xff" * 255, fill=255 * 255, continued=True)
    return _ogg_page([head], first=True) + start + more * (n_bytes // (255 * 255))


def flac(*, rate_hz: int, channels: int, duration_s: float) -> bytes:
    """Return FLAC of constant blocks: 16 bits each, 65,535 samples a block."""
    n_block = 65_535
    info = struct.pack(">HH", n_block, n_block) + bytes(6) + (rate_hz << 44 | (channels - 1) << 41 | 15 << 36).to_bytes(8, "big")
    frames = (_flac_frame(number, n_block, channels) for number in range(round(duration_s * rate_hz / n_block)))
    return b"fLaC" + b"\x80\0\0\x22" + info + bytes(16) + b"".join(frames)


def mov_compressed(*, n_bytes: int) -> bytes:
    """Return a QuickTime file whose index is compressed nothing."""
    packed = struct.pack(">I", n_bytes) + zlib.compress(bytes(n_bytes), 9)
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", _box(b"cmov", _box(b"dcom", b"zlib") + _box(b"cmvd", packed)))


def matroska_claiming(*, n_bytes: int) -> bytes:
    """Return Matroska with a track whose private data is said to be so large."""
    private = b"\x63\xa2" + (n_bytes | 1 << 56).to_bytes(8, "big") + bytes(1_000)
    track = b"\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x02\x86\x86A_OPUS" + private
    entry = b"\xae" + (n_bytes + 100 | 1 << 56).to_bytes(8, "big") + track
    tracks = b"\x16\x54\xae\x6b" + (n_bytes + 200 | 1 << 56).to_bytes(8, "big") + entry
    head = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02"
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(head)]) + head + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + tracks


def _opus_tags(comment: bytes) -> bytes:
    return b"OpusTags" + struct.pack("<II", 0, 0) + comment


def _ogg_page(
    packets: list[bytes], *, granule: int = 0, first: bool = False, continued: bool = False, lacing: bytes = b"", fill: int = 0
) -> bytes:
    sizes = lacing or bytes(len(packet) for packet in packets)
    body = b"".join(packets)
    body += bytes(max(0, fill - len(body)))
    head = b"OggS\0" + struct.pack("<BqIII", 2 * first | continued, granule, 1, 0, 0) + bytes([len(sizes)]) + sizes
    return head[:22] + struct.pack("<I", ogg_checksum(head + body)) + head[26:] + body


def ogg_checksum(page: bytes) -> int:
    """Return the checksum of a page in which its own is zero (RFC 3533, section 6)."""
    crc = 0
    for byte in page:
        crc = (crc << 8 ^ _OGG_CRC[crc >> 24 ^ byte]) & 0xFFFFFFFF
    return crc


def _flac_frame(number: int, n_block: int, channels: int) -> bytes:
    head = b"\xff\xf8" + bytes([0x70, (channels - 1) << 4 | 0x08]) + chr(number).encode("utf-8", "surrogatepass")
    head += (n_block - 1).to_bytes(2, "big")
    head += bytes([_crc(head, bits=8, polynomial=0x07)])
    frame = head + b"\0\0\0" * channels  # a constant subframe: its header, and 16 bits
    return frame + _crc(frame, bits=16, polynomial=0x8005).to_bytes(2, "big")


def _crc(data: bytes, *, bits: int, polynomial: int) -> int:
    rest, top, mask = 0, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        rest ^= byte << (bits - 8)
        for _ in range(8):
            rest = (rest << 1 ^ (polynomial if rest & top else 0)) & mask
    return rest


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body
