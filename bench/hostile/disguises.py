"""Files that are something else than sound, that are two things at once, or that want other files and addresses opened."""

import base64
import io
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from .case import NO_AUDIO, OK, SENTENCE, Case, upload
from .sounds import box, chunk, encoded, fmt, riff, sentence, shorts, wav

TRAP_PORT: Final = 47_823  # the runner listens there, and nobody must come
SECRET: Final = Path("/etc/passwd")  # nothing of it may be told
_HERE: Final = f"http://127.0.0.1:{TRAP_PORT}/a.wav"
_FILE: Final = f"file://{SECRET}"
_PIXEL: Final = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def cases() -> Iterator[Case]:
    """Yield the family."""
    for name, data in _FOREIGN.items():
        yield upload(name, partial(bytes, data), NO_AUDIO)
    for name, text in _PLAYLISTS.items():
        yield upload(f"{name}, a playlist", text.encode, NO_AUDIO)
        yield upload(f"{name}, a playlist behind a tag", partial(bytes, b"ID3\4\0\0\0\0\0\0" + text.encode()), NO_AUDIO)
    yield from _polyglots()
    yield from _references()
    yield from _pictures()


_FOREIGN: Final = {
    "html": b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>" * 50,
    "svg that loads": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="' + _HERE.encode() + b'"/></svg>',
    "xml with an outside entity": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "' + _FILE.encode() + b'">]><a>&b;</a>',
    "elf": b"\x7fELF\2\1\1" + bytes(5_000), "a program of Windows": b"MZ" + bytes(5_000), "a script": b"#!/bin/sh\nid\n" * 100,
    "png": _PIXEL, "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(2_000), "gif": b"GIF89a" + bytes(2_000),
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" * 100, "rar": b"Rar!\x1a\7\1\0" + bytes(2_000),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(2_000), "tar": b"a.wav".ljust(257, b"\0") + b"ustar\x0000" + bytes(5_000),
    "sqlite": b"SQLite format 3\0" + bytes(5_000), "pickle": b"\x80\4cposix\nsystem\n(S'id'\ntR.",
    "json": b'{"audio": "' + b"A" * 5_000 + b'"}',
    "midi": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(500), "amr": b"#!AMR\n" + b"\x3c" * 3_000,
    "au": b".snd\0\0\0\x18" + bytes(5_000),
    "caf": b"caff\0\1\0\0desc" + bytes(5_000), "w64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + bytes(5_000),
    "wavpack": b"wvpk" + bytes(5_000), "monkey's audio": b"MAC \x96\x0f" + bytes(5_000),
    "true audio": b"TTA1\1\0\1\0" + bytes(5_000),
    "dsd": b"DSD \x1c" + bytes(5_000), "flv": b"FLV\1\4\0\0\0\x09" + bytes(5_000), "avi": b"RIFF\0\0\1\0AVI LIST" + bytes(5_000),
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c" + bytes(5_000), "mpeg-ts": (b"\x47" + bytes(187)) * 50,
    "mpeg-ps": b"\0\0\1\xba" + bytes(5_000), "realmedia": b".RMF\0\0\0\x12" + bytes(5_000), "ac3": b"\x0b\x77" + bytes(5_000),
    "dts": b"\x7f\xfe\x80\1" + bytes(5_000), "swf": b"FWS\x09" + bytes(5_000), "iamf": b"\xf8\x06iamf\0\0" + bytes(5_000),
    "a module for trackers": b"Extended Module: " + bytes(5_000), "voc": b"Creative Voice File\x1a" + bytes(5_000),
    "nist": b"NIST_1A\n   1024\nsample_rate -i 16000\n" + bytes(5_000),
    "raw sound without a head": shorts(np.linspace(-0.1, 0.1, 20_000)),
    "utf-16 text": "sound".encode("utf-16") * 500, "riff of a picture": b"RIFF\0\0\1\0WEBPVP8 " + bytes(5_000),
    "riff of midi": b"RIFF\0\0\1\0RMID" + bytes(5_000), "iff of a picture": b"FORM\0\0\1\0ILBM" + bytes(5_000),
}  # fmt: skip
_PLAYLISTS: Final = {
    "hls of a file": f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{_FILE}\n#EXT-X-ENDLIST\n",
    "hls of an address": f"#EXTM3U\n#EXTINF:10.0,\n{_HERE}\n#EXT-X-ENDLIST\n",
    "hls that joins a file to an address": f"#EXTM3U\n#EXTINF:10.0,\nconcat:{_HERE}?|{_FILE}\n#EXT-X-ENDLIST\n",
    "hls with a key elsewhere": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{_HERE}"\n#EXTINF:1,\n{_FILE}\n#EXT-X-ENDLIST\n',
    "ffconcat": f"ffconcat version 1.0\nfile '{SECRET}'\nfile '{_HERE}'\n",
    "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {TRAP_PORT} RTP/AVP 0\n",
    "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{_HERE}</BaseURL></MPD>',
    "asx": f'<asx version="3.0"><entry><ref href="{_HERE}"/></entry></asx>',
    "pls": f"[playlist]\nFile1={_HERE}\nNumberOfEntries=1\n", "xspf": f"<playlist><location>{_FILE}</location></playlist>",
    "cue": f'FILE "{SECRET}" WAVE\n TRACK 01 AUDIO\n', "rtsp text": f"rtsptext\nrtsp://127.0.0.1:{TRAP_PORT}/\n",
    "ffmetadata": f";FFMETADATA1\ntitle={_FILE}\n", "subtitles": f"1\n00:00:00,000 --> 00:00:01,000\n{_HERE}\n",
    "an address": _HERE, "a path": _FILE,
}  # fmt: skip


def _polyglots() -> Iterator[Case]:
    yield upload("wav and zip", lambda: wav() + _zip(), SENTENCE)
    yield upload("zip within wav", lambda: riff(chunk(b"junk", _zip()), fmt(), wav()[36:]), SENTENCE)
    yield upload("zip, then wav", lambda: _zip() + wav(), NO_AUDIO)
    yield upload("mp3 and zip", lambda: encoded("mp3") + _zip(), SENTENCE)
    yield upload("flac and html", lambda: encoded("flac") + b"<script>alert(1)</script>" * 100, SENTENCE)
    yield upload("wav whose sound is a playlist", lambda: wav(_PLAYLISTS["hls of a file"].encode() * 100), OK)
    yield upload("wav whose sound is a program", lambda: wav(b"\x7fELF" + bytes(100_000)), OK)
    yield upload("wav whose sound is wav", lambda: wav(wav()), SENTENCE)
    yield upload("wav whose sound is mp3", lambda: wav(encoded("mp3")), OK)
    yield upload("wav that says it is mp3, and is", lambda: wav(encoded("mp3"), tag=0x55, bits=0), SENTENCE)
    yield upload("wav whose sound is dts", lambda: wav((b"\xfe\x7f\1\x80" + bytes(2_044)) * 50), OK)
    yield upload("wav within id3, then a program", lambda: b"ID3\4\0\0\0\0\0\0\x7fELF" + wav(), NO_AUDIO)
    yield upload("flac behind id3", lambda: b"ID3\4\0\0\0\0\0\0" + encoded("flac"), SENTENCE)
    yield upload("wav behind id3", lambda: b"ID3\4\0\0\0\0\0\0" + wav(), SENTENCE)
    yield upload("mp4 that is called wav", lambda: encoded("m4a"), SENTENCE)
    yield upload("wav in big-endian, as RIFX", lambda: wav(kind=b"RIFX"), NO_AUDIO)
    yield upload("ogg with flac inside, broken", lambda: encoded("opus")[:28] + encoded("flac"), NO_AUDIO)
    yield upload("webm, then wav", lambda: encoded("webm") + wav(), SENTENCE)


def _references() -> Iterator[Case]:
    elsewhere = box(b"dref", b"\0\0\0\0\0\0\0\1", box(b"url ", b"\0\0\0\0" + _HERE.encode() + b"\0"))
    beside = box(b"dref", b"\0\0\0\0\0\0\0\1", box(b"alis", b"\0\0\0\0" + bytes(300)))
    for name, one in (("an address", elsewhere), ("an alias", beside)):
        yield upload(f"mp4 whose sound is at {name}", partial(_referring, one), SENTENCE)
    reference = box(b"rmra", box(b"rmda", box(b"rdrf", b"\0\0\0\0url ", len(_HERE).to_bytes(4, "big"), _HERE.encode())))
    yield upload("mov that is elsewhere", lambda: box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", reference), NO_AUDIO)
    linked = b"\x3c\xb8\x3a" + bytes([0x80 | len(_FILE)]) + _FILE.encode()  # NextFilename
    yield upload("webm that goes on elsewhere", lambda: _within_info(linked), SENTENCE)


def _referring(dref: bytes) -> bytes:
    data = encoded("m4a")
    at = data.index(b"dref") - 4
    old = int.from_bytes(data[at : at + 4], "big")
    grown = bytearray(data[:at] + dref + data[at + old :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = data.index(name) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(dref) - old
        grown[place : place + 4] = size.to_bytes(4, "big")
    return bytes(grown)


def _within_info(element: bytes) -> bytes:
    data = encoded("webm")
    at = data.index(b"\x15\x49\xa9\x66")
    return data[:at] + b"\x15\x49\xa9\x66" + bytes([0x80 | len(element)]) + element + data[at:]


def _pictures() -> Iterator[Case]:
    for container, codec in (("mp4", "mpeg4"), ("matroska", "mpeg4"), ("matroska", "mjpeg")):
        yield upload(f"{container} of {codec} pictures without sound", partial(_film, container, codec), NO_AUDIO)
    yield upload("matroska of pictures and sound", partial(_film, "matroska", "mpeg4", sound_codec="aac"), SENTENCE)
    yield upload("mp4 of pictures and sound", partial(_film, "mp4", "mpeg4", sound_codec="aac"), SENTENCE)
    yield upload("matroska with a track of AC-3", partial(_film, "matroska", "mpeg4", sound_codec="ac3"), NO_AUDIO)


def _film(container: str, codec: str, *, sound_codec: str = "") -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container, container_options={"fflags": "+bitexact"}) as file:
        pictures = cast("VideoStream", file.add_stream(codec, rate=5))
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        rate_hz = 32_000 if sound_codec == "ac3" else 16_000
        sound = cast("AudioStream", file.add_stream(sound_codec, rate=rate_hz, layout="mono")) if sound_codec else None
        for _ in range(10):
            file.mux(pictures.encode(av.VideoFrame(32, 32, pictures.pix_fmt)))
        file.mux(pictures.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sentence()[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, 0
            file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("../../etc/cron.d/x"), "* * * * * root id\n")
    return out.getvalue()
