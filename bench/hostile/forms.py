"""Forms that are none, that never end, or that say too much; and fields with what they may not have."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from .case import (
    BAD_FORM,
    BOUNDARY,
    FORM_TYPE,
    NO_AUDIO,
    OK,
    SENTENCE,
    TOO_LARGE,
    Case,
    Told,
    enclosed,
    fields,
    form,
    part,
    posted,
    raw,
    wrong,
)
from .sounds import wav

_LARGE: Final = 65_537  # a byte more than a text field may have
_NO_FILE: Final = wrong("file")
_UNSUPPORTED: Final = {
    name: Told(status=400, code="unsupported_value", param=name) for name in ("response_format", "stream", "include")
}
_FILE: Final = b'form-data; name="file"; filename="a.wav"'


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _types()
    yield from _boundaries()
    yield from _parts()
    yield from _sizes()
    yield from _fields()


def _sent(
    name: str, body: bytes | Callable[[], bytes], *expected: Told, content_type: bytes = FORM_TYPE, length: bytes | None = None
) -> Case:
    def whole() -> bytes:
        return posted(body() if callable(body) else body, content_type=content_type, length=length)

    return raw(name, whole, expected=expected)


def _types() -> Iterator[Case]:
    body = form(wav())
    for name, kind in {
        "no type": b"", "text": b"text/plain", "json": b"application/json", "url-encoded": b"application/x-www-form-urlencoded",
        "audio": b"audio/wav", "another multipart": b"multipart/mixed; boundary=" + BOUNDARY, "no boundary": b"multipart/form-data",
        "an empty boundary": b"multipart/form-data; boundary=", "an empty boundary in quotes": b'multipart/form-data; boundary=""',
        "a boundary of a space": b'multipart/form-data; boundary=" "',
        "a boundary of 70,000 letters": b"multipart/form-data; boundary=" + b"x" * 70_000,
        "a boundary that is no Latin": b"multipart/form-data; boundary=\xff\xfe",
        "a boundary with a tab": b'multipart/form-data; boundary="a\tb"',
        "nothing but semicolons": b"multipart/form-data" + b";" * 50_000,
        "backslashes without end": b'multipart/form-data; boundary="' + b"\\" * 50_000,
        "quotes without end": b"multipart/form-data; boundary=" + b'"' * 50_001,
        "spaces without end": b"multipart/form-data; a" + b" " * 50_000 + b"=",
        "10,000 parameters": b"multipart/form-data; " + b"; ".join(b"a%d=b" % i for i in range(10_000)),
    }.items():  # fmt: skip
        yield _sent(f"type: {name}", body, BAD_FORM, content_type=kind)
    yield _sent("type: another boundary than the form's", body, BAD_FORM, content_type=b"multipart/form-data; boundary=other")
    yield _sent("type: in capitals", body, SENTENCE, content_type=b"MULTIPART/FORM-DATA; BOUNDARY=" + BOUNDARY)
    twice = b"multipart/form-data; boundary=" + BOUNDARY + b"; boundary=other"
    yield _sent("type: two boundaries", body, BAD_FORM, content_type=twice)
    for coding in (b"gzip", b"gzip, br, zstd, deflate"):
        yield raw(
            f"a body that says it is packed: {coding.decode()}", posted(body, b"content-encoding: " + coding), expected=[BAD_FORM]
        )


def _boundaries() -> Iterator[Case]:
    mark, body = b"--" + BOUNDARY, form(wav())
    yield _sent("no body", b"", BAD_FORM)
    yield _sent("one byte", b"-", BAD_FORM)
    yield _sent("nothing but the last boundary", mark + b"--\r\n", _NO_FILE)
    yield _sent("nothing but a boundary", mark + b"\r\n", BAD_FORM)
    yield _sent("no last boundary", body[: -len(mark) - 4], BAD_FORM)
    yield _sent("the last boundary is cut", body[:-6], BAD_FORM)
    yield _sent("no boundary before the first part", body[len(mark) + 2 :], _NO_FILE, BAD_FORM)
    yield _sent("lines end in line feeds", body.replace(b"\r\n", b"\n"), BAD_FORM)
    yield _sent("a boundary within the sound", form(wav()[:20_000] + b"\r\n" + mark + b"--\r\n" + wav()[20_000:]), OK)
    yield _sent("half a boundary within the sound", form(wav()[:20_000] + b"\r\n" + mark[:-3] + wav()[20_000:]), OK)
    yield _sent("half boundaries throughout", form(wav(data=(b"\r\n" + mark[:-1]) * 20_000)), OK)
    yield _sent("line ends throughout", form(wav(data=b"\r\n" * 500_000)), OK)
    yield _sent("1 MB before the first boundary", b"x" * 1_000_000 + b"\r\n" + body, BAD_FORM, SENTENCE)
    yield _sent("1 MB behind the last boundary", body + b"x" * 1_000_000, SENTENCE)
    yield _sent("a second form behind the first", body + body, SENTENCE)
    yield _sent("dashes and dashes", b"-" * 100_000, BAD_FORM)
    inner = part(b'form-data; name="inner"', body, b"content-type: multipart/mixed; boundary=" + BOUNDARY + b"i")
    yield _sent("a form within a form", enclosed([inner.replace(mark, mark + b"i"), part(_FILE, wav())]), wrong("inner"))


def _parts() -> Iterator[Case]:
    sound = part(_FILE, wav())
    yield _sent("two files", enclosed([sound, sound]), wrong("file"))
    yield _sent("no file", form(None, [("model", "whisper-1")]), _NO_FILE)
    yield _sent("a file under another name", enclosed([part(b'form-data; name="audio"; filename="a.wav"', b"RIFF")]), _NO_FILE)
    yield _sent("a file without a name", enclosed([part(b'form-data; name="file"', wav())]), SENTENCE)
    yield _sent("a file of no bytes", form(b""), NO_AUDIO)
    yield _sent("no name", enclosed([part(b'form-data; filename="a.wav"', wav())]), BAD_FORM)
    yield _sent("an empty name", enclosed([part(b'form-data; name=""', b"x"), sound]), SENTENCE)
    yield _sent("two names", enclosed([part(b'form-data; name="file"; name="model"', wav())]), wrong("model"))
    yield _sent("no head", enclosed([b"\r\n" + wav()]), BAD_FORM)
    yield _sent("no disposition", enclosed([b"content-type: audio/wav\r\n\r\n" + wav()]), BAD_FORM)
    yield _sent("an attachment", enclosed([part(b'attachment; name="file"', wav())]), BAD_FORM)
    yield _sent("a head that never ends", enclosed([b"content-disposition: form-data"]), BAD_FORM)
    yield _sent("a head without a colon", enclosed([b"content-disposition form-data\r\n\r\n" + wav()]), BAD_FORM)
    yield _sent("a head with NUL", enclosed([part(b'form-data; name="fi\0le"', wav())]), wrong("fi\0le"))
    yield _sent(
        "two dispositions",
        enclosed([part(_FILE, wav(), b'content-disposition: form-data; name="model"')]),
        wrong("model"),
    )
    for coding in (b"base64", b"quoted-printable", b"x-unknown"):
        yield _sent(
            f"sound sent as {coding.decode()}",
            enclosed([part(_FILE, wav(), b"content-transfer-encoding: " + coding)]),
            SENTENCE,
        )
    yield _sent("a part that tells its length, and lies", enclosed([part(_FILE, wav(), b"content-length: 5")]), BAD_FORM)
    yield _sent(
        "a charset that does not exist",
        enclosed([part(b'form-data; name="model"', b"", b"content-type: text/plain; charset=x"), sound]),
        SENTENCE,
    )
    charset = enclosed([part(b'form-data; name="_charset_"', b"utf-7"), sound])
    yield _sent("a field that names a charset", charset, SENTENCE)


def _sizes() -> Iterator[Case]:
    sound = part(_FILE, wav())
    small = part(b'form-data; name="x"', b"y")
    yield _sent("128 parts", enclosed([small] * 127 + [sound]), SENTENCE)
    yield _sent("129 parts", enclosed([small] * 128 + [sound]), BAD_FORM)
    yield _sent("100,000 parts", enclosed([small] * 100_000 + [sound]), BAD_FORM)
    yield _sent("100,000 parts without a head", enclosed([b"\r\n"] * 100_000), BAD_FORM)
    for name, line in {
        "a line of 1 MB": b"x-a: " + b"b" * 1_000_000, "a name of 1 MB": b"x" * 1_000_000 + b": a",
        "no line end in 5 MB": b"x" * 5_000_000,
    }.items():  # fmt: skip
        yield _sent(f"a part's head: {name}", enclosed([part(_FILE, wav(), line)]), BAD_FORM)
    yield _sent("a part's head: 10,000 lines", enclosed([part(_FILE, wav(), *(b"x-%d: a" % i for i in range(10_000)))]), BAD_FORM)
    endless = part(b'form-data; name="' + b"\\" * 3_000, wav())
    yield _sent("a disposition of thousands of backslashes", enclosed([endless]), BAD_FORM)
    for name, disposition in {
        "quotes": b'form-data; name="file"' + b'"' * 3_000,
        "parameters": b'form-data; name="file"' + b"; a=b" * 800, "spaces": b"form-data; name" + b" " * 3_000 + b'="file"',
    }.items():  # fmt: skip
        yield _sent(f"a disposition of thousands of {name}", enclosed([part(disposition, wav())]), SENTENCE)
    yield _sent("a text field of 64 KiB", form(wav(), [("prompt", "x" * (_LARGE - 1))]), SENTENCE)
    yield _sent("a text field of 64 KiB and a byte", form(wav(), [("prompt", "x" * _LARGE)]), wrong("prompt"))
    yield _sent("a text field of 25 MB", lambda: form(wav(), [("prompt", "x" * 25_000_000)]), wrong("prompt"))
    yield _sent("ten text fields of 60 KiB", form(wav(), [(f"x{i}", "y" * 61_440) for i in range(10)]), BAD_FORM)
    yield _sent("names of 400 KiB", form(wav(), [("n" * 4_000 + str(i), "") for i in range(130)]), BAD_FORM)
    references = [("known_speaker_references[]", "data:audio/wav;base64," + "A" * 1_000_000)] * 4
    yield _sent("recordings of speakers, which nobody reads", form(wav(), references), SENTENCE)
    yield _sent("more than may be sent, announced", b"--" + BOUNDARY, TOO_LARGE, length=b"99999999999")
    yield _sent("more than may be sent", lambda: form(bytes(66_000_000)), TOO_LARGE)


def _fields() -> Iterator[Case]:
    def one(name: str, sent: Sequence[tuple[str, str | bytes]], *expected: Told) -> Case:
        return fields(name, sent, *expected, data=wav)

    for value in ("jsonx", "JSON", "../json", "xml", "\0", "x" * 60_000, "json\r\nx: y"):
        yield one(f"response_format: {value[:12]!a}", [("response_format", value)], wrong("response_format"))
    yield one("response_format: diarized_json", [("response_format", "diarized_json")], _UNSUPPORTED["response_format"])
    for value in ("nan", "inf", "-inf", "-0.1", "1.0001", "1e999", "0x1", "0,5", "zero", "1" * 60_000):
        yield one(f"temperature: {value[:12]}", [("temperature", value)], wrong("temperature"))
    for value in ("maybe", "2", "yes", "[]"):
        yield one(f"stream: {value}", [("stream", value)], wrong("stream"))
    yield one("stream with text", [("stream", "true"), ("response_format", "text")], _UNSUPPORTED["stream"])
    for value in ("chars", "word;segment", "\ufeffword", "x" * 60_000):
        yield one(f"granularities: {value[:12]!a}", [("timestamp_granularities[]", value)], wrong("timestamp_granularities"))
    yield one("include: all", [("include[]", "all")], wrong("include"))
    yield one("include with srt", [("include[]", "logprobs"), ("response_format", "srt")], _UNSUPPORTED["include"])
    for value in ("de", "xx", "e\0n", "\u202een", "x" * 60_000):
        yield one(f"language: {value[:12]!a}", [("language", value)], wrong("language"))
    for value in ("../../etc/passwd", "whisper-1\0", "WHISPER-1", "a" * 60_000, "whisper-1\r\nx: y", "{{7*7}}", "' OR 1=1"):
        unknown = Told(status=404, code="model_not_found", param="model")
        yield one(f"model: {value[:16]!a}", [("model", value)], unknown)
    yield one("keywords: 101 of them", [("keywords[]", f"k{i}") for i in range(101)], wrong("keywords"))
    yield one("keywords: one of 101 letters", [("keywords[]", "k" * 101)], wrong("keywords"))
    yield one("keywords: 100 of 100 letters", [("keywords[]", f"{i:0100}") for i in range(100)], OK)
    yield one("keywords: signs that no model has", [("keywords[]", "\U0001f4a3\u202e\u0000\ufffd")], SENTENCE)
    for name, value in {
        "no JSON": "{", "a list": "[]", "a number": "1", "nothing of it": "{}", "another type": '{"type": "none"}',
        "JSON of JSON": '"{}"',
        "a threshold of NaN": '{"type": "server_vad", "threshold": NaN}',
        "a threshold of 1e999": '{"type": "server_vad", "threshold": 1e999}',
        "a padding of 10^30": '{"type": "server_vad", "prefix_padding_ms": 1' + "0" * 30 + "}",
        "half a surrogate": '{"type": "\\ud800"}',
        "30,000 brackets": "[" * 30_000, "30,000 objects": '{"a":' * 10_000,
        "a fraction of a millisecond": '{"type": "server_vad", "silence_duration_ms": 0.5}',
    }.items():  # fmt: skip
        yield one(f"chunking_strategy: {name}", [("chunking_strategy", value)], wrong("chunking_strategy"))
    yield one("chunking_strategy: a member of another", [("chunking_strategy[type][x]", "server_vad")], wrong("chunking_strategy"))
