"""What a file is, by its content alone; so that only the demuxer for it ever sees it."""

from typing import BinaryIO, Final

import msgspec

_HEAD_BYTES: Final = 8_192
_OGG_TAIL_BYTES: Final = 131_072  # two of the largest pages there can be (65,307 bytes, RFC 3533)
_STREAMED_BYTES: Final = 0x7FFFF000  # what sox writes for a length it does not know; FFmpeg writes 0xFFFFFFFF, others 0
_MOST_CHUNKS: Final = 1_000
_MOST_TAGS: Final = 16

# ISO/IEC 11172-3 and 13818-3, table of bit rates in kbit/s: version 1 (layers I, II, III), then version 2 (I, II and III)
_KBITS: Final = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_HZ: Final = (44_100, 48_000, 32_000)


class Recognised(msgspec.Struct, frozen=True, kw_only=True):
    """What the content says."""

    demuxer: str  # FFmpeg's name of it
    start: int = 0  # bytes; tags before it are not needed
    broken_off: bool = False  # the container states more than the file holds
    states_duration: bool = False  # the duration that FFmpeg reports was written by the encoder, not guessed from the size


def recognise(file: BinaryIO) -> Recognised | None:
    """Say what the file holds; None if it is nothing we decode. Moves the file's position."""
    n_bytes = file.seek(0, 2)
    start = _after_id3(file)
    head = _read(file, start, _HEAD_BYTES)
    demuxer = _named_by(head)
    if demuxer == "wav":
        return Recognised(demuxer="wav", start=start, broken_off=_wav_is_cut(file, start, n_bytes))
    if demuxer == "ogg":
        return Recognised(demuxer="ogg", start=start, broken_off=_ogg_is_cut(file, n_bytes))
    if demuxer is not None:
        return Recognised(demuxer=demuxer, start=start, states_duration=True)
    if _is_adts(head):
        return Recognised(demuxer="aac", start=start)
    if (at := _first_mpeg_frame(head)) is not None:
        # LAME's header, in the first frame, which holds no audio: the only place where mp3 states its length
        stated = any(mark in head[at : at + 200] for mark in (b"Xing", b"Info", b"VBRI"))
        return Recognised(demuxer="mp3", start=start + at, states_duration=stated)
    return None


def _named_by(head: bytes) -> str | None:
    """Return the demuxer for a file that starts with a name of its kind."""
    kind, form = head[:4], head[8:12]
    if form == b"WAVE" and kind in (b"RIFF", b"RF64", b"BW64"):
        return "wav"
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):  # the last three: QuickTime before it had ftyp
        return "mov"
    return {b"fLaC": "flac", b"OggS": "ogg", b"\x1a\x45\xdf\xa3": "matroska"}.get(kind)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _after_id3(file: BinaryIO) -> int:
    """Return where the audio starts: tags are skipped here, so no cover picture reaches FFmpeg or memory."""
    start = 0
    for _ in range(_MOST_TAGS):
        tag = _read(file, start, 10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:]) > 0x7F:
            break
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + size + (10 if tag[5] & 0x10 else 0)  # 0x10: a footer follows (ID3v2.4, section 3.1)
    return start


def _wav_is_cut(file: BinaryIO, start: int, n_bytes: int) -> bool:
    """Say whether the data chunk claims more than is there; a length that its writer did not know claims nothing."""
    at = start + 12
    long_data_bytes: int | None = None  # RF64: the true size, from the chunk ds64 (EBU Tech 3306)
    for _ in range(_MOST_CHUNKS):
        header = _read(file, at, 8)
        if len(header) < 8:
            return True  # no data chunk, or half of one
        size = int.from_bytes(header[4:], "little")
        if header[:4] == b"ds64":
            body = file.read(16)
            long_data_bytes = int.from_bytes(body[8:16], "little")
        if header[:4] == b"data":
            if size == 0xFFFFFFFF and long_data_bytes:
                return at + 8 + long_data_bytes > n_bytes
            return size < _STREAMED_BYTES and at + 8 + size > n_bytes
        at += 8 + size + (size & 1)
    return False


def _ogg_is_cut(file: BinaryIO, n_bytes: int) -> bool:
    """Say whether the last page is incomplete or does not close its stream (RFC 3533, section 6)."""
    tail = _read(file, max(0, n_bytes - _OGG_TAIL_BYTES), _OGG_TAIL_BYTES)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or page[:4] != b"OggS":
        return True
    sizes = page[27 : 27 + page[26]]
    whole = len(sizes) == page[26] and len(page) >= 27 + len(sizes) + sum(sizes)
    return not (whole and page[5] & 0x04)


def _is_adts(head: bytes) -> bool:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    n_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    following = head[n_bytes : n_bytes + 2]
    return n_bytes >= 7 and (len(following) < 2 or (following[0] == 0xFF and following[1] & 0xF6 == 0xF0))


def _first_mpeg_frame(head: bytes) -> int | None:
    """Return where MPEG audio starts: at a chain of frames, for a recording may begin within one."""
    at = head.find(b"\xff")
    while at >= 0:
        chained, here = 0, at
        while chained < 3 and (n_bytes := _mpeg_frame_bytes(head[here : here + 4])) is not None:
            chained, here = chained + 1, here + n_bytes
        if chained == 3 or (chained and here >= len(head) and at == 0):  # a head of one frame is not long enough for three
            return at
        at = head.find(b"\xff", at + 1)
    return None


def _mpeg_frame_bytes(header: bytes) -> int | None:
    """Return the length of the MPEG audio frame with this 4-byte header, None if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version_bits, layer_bits = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_bits, hz_bits = header[2] >> 4, header[2] >> 2 & 3
    if version_bits == 1 or layer_bits == 0 or hz_bits == 3 or not 1 <= rate_bits <= 14:
        return None
    layer = 4 - layer_bits
    version = 1 if version_bits == 3 else 2
    rate_hz = _MPEG_HZ[hz_bits] // {3: 1, 2: 2, 0: 4}[version_bits]  # 0 is version 2.5
    bits_per_s = _KBITS[version, layer][rate_bits - 1] * 1000
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12 * bits_per_s // rate_hz + padding) * 4
    return (72 if layer == 3 and version == 2 else 144) * bits_per_s // rate_hz + padding
