"""What is no HTTP, nearly HTTP, or two things to two readers. Nothing that follows a body may be taken for a request."""

from collections.abc import Iterator
from typing import Final

from .case import BAD_FORM, BARE, BOUNDARY, CUT, OK, SENTENCE, TRANSCRIPTIONS, Case, Exchange, Told, case, form, head, posted, raw
from .sounds import wav

_NO_LENGTH: Final = (b"content-type: multipart/form-data; boundary=" + BOUNDARY,)
_CHUNKED: Final = (*_NO_LENGTH, b"transfer-encoding: chunked")
_SMUGGLED: Final = b"GET /healthz HTTP/1.1\r\nhost: any\r\n\r\n"
_UNANSWERED: Final = ("nothing", "line ends", "HTTP/2", "a path of a sign")  # by hyper, the HTTP of Granian; all else is told 400
_POST: Final = "POST " + TRANSCRIPTIONS
_NO_METHOD: Final = Told(status=405, code="method_not_allowed")
_LARGE_HEAD: Final = (Told(status=431),)


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _lines()
    yield from _heads()
    yield from _lengths()
    yield from _chunks()
    yield from _rest()


def _lines() -> Iterator[Case]:
    tail = b" HTTP/1.1\r\nhost: any\r\n\r\n"
    for name, data in {
        "nothing": b"", "line ends": b"\r\n" * 1_000, "NUL": bytes(1_000), "TLS": b"\x16\3\1\2\0\1\0\1\xfc\3\3" + bytes(500),
        "SSH": b"SSH-2.0-x\r\n",
        "SMB": b"\0\0\0\x54\xffSMB" + bytes(80), "RDP": b"\3\0\0\x13\x0e\xe0" + bytes(13), "a mail": b"EHLO x\r\nMAIL FROM:<a>\r\n",
        "Redis": b"*1\r\n$4\r\nINFO\r\n",
        "socks": b"\5\1\0", "a proxy's greeting": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n" + _SMUGGLED,
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
        "random": bytes(range(256)) * 40, "no method": b" / " + tail, "no path": b"GET" + tail,
        "no version": b"GET /healthz\r\n\r\n", "HTTP/0.9": b"GET /healthz\n",
        "HTTP/9.9": b"GET / HTTP/9.9\r\nhost: any\r\n\r\n", "HTTP/1.": b"GET / HTTP/1.\r\nhost: any\r\n\r\n",
        "small letters": b"get / http/1.1\r\n\r\n",
        "two spaces": b"GET  /healthz  HTTP/1.1\r\nhost: any\r\n\r\n", "a tab": b"GET\t/healthz\tHTTP/1.1\r\nhost: any\r\n\r\n",
        "NUL in the path": b"GET /\0" + tail,
        "a method with NUL": b"GE\0T /" + tail,
        "a space before": b" GET /" + tail, "a path of a sign": b"GET *" + tail,
    }.items():  # fmt: skip
        yield raw(f"line: {name}", data, expected=[CUT if name in _UNANSWERED else BARE], ends=True)
    yield raw("line: a method of 100 KB", b"A" * 100_000 + b" /" + tail, expected=[_NO_METHOD])
    for method in ("DELETE", "PUT", "PATCH", "TRACE", "PROPFIND", "BREW", "GET"):
        yield raw(f"{method} where files are posted", head(f"{method} {TRANSCRIPTIONS}"), expected=(_NO_METHOD,))
    yield raw("CONNECT", head("CONNECT 127.0.0.1:22"), expected=[_NO_METHOD])
    yield raw("HEAD where files are posted", head(f"HEAD {TRANSCRIPTIONS}"), expected=(Told(status=405),))
    yield raw("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", expected=(OK,))


def _heads() -> Iterator[Case]:
    def sent(name: str, *lines: bytes, expected: tuple[Told, ...]) -> Case:
        return raw(
            f"head: {name}", b"\r\n".join((b"GET /healthz HTTP/1.1", b"connection: close", *lines, b"", b"")), expected=expected
        )

    yield sent("no host", expected=(OK,))
    yield sent("two hosts", b"host: a", b"host: b", expected=(OK,))
    yield sent("a host that is none", b"host: \xff /..", expected=(BAD_FORM,))
    yield sent("no colon", b"host: any", b"x", expected=(BARE,))
    yield sent("no name", b"host: any", b": x", expected=(BARE,))
    yield sent("a space before the colon", b"host: any", b"x : y", expected=(BARE,))
    yield sent("a space before the name", b"host: any", b" x: y", expected=(BARE,))
    yield sent("a folded line", b"host: any", b"x: y", b"  z", expected=(BARE,))
    yield sent("NUL in a name", b"host: any", b"x\0: y", expected=(BARE,))
    yield sent("NUL in a value", b"host: any", b"x: \0", expected=(BARE,))
    yield sent("a carriage return in a value", b"host: any", b"x: a\rb: c", expected=(BARE,))
    yield sent("1 MB in a line", b"host: any", b"x: " + b"y" * 1_000_000, expected=_LARGE_HEAD)
    yield sent("10,000 lines", b"host: any", *(b"x-%d: y" % i for i in range(10_000)), expected=_LARGE_HEAD)
    yield sent("a line 1,000 times", b"host: any", *([b"x: y"] * 1_000), expected=_LARGE_HEAD)
    yield sent("to be upgraded to HTTP/2", b"host: any", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__", expected=(OK,))
    yield sent("to be upgraded to nothing", b"host: any", b"upgrade: " + b"x, " * 500, expected=(OK,))
    yield sent("a body that was not asked for", b"host: any", b"content-length: 5", b"", b"hello", expected=(OK,))
    bare = b"GET /healthz HTTP/1.1\nhost: any\nconnection: close\n\n"
    yield raw("head: lines end in line feeds", bare, expected=[OK])


def _lengths() -> Iterator[Case]:
    body = form(wav())
    right = str(len(body)).encode()
    for value in (b"-1", b"+5", b"0x10", b"5, 6", b"1e3", b"", b"a", b"18446744073709551616", b"9" * 1_000, b"5 5", b"\xff"):
        yield raw(f"length: {value[:24]!a}", head(_POST, *_NO_LENGTH, b"content-length: " + value) + body, expected=(BARE,))
    two = head(_POST, *_NO_LENGTH, b"content-length: " + right, b"content-length: 5") + body
    yield raw("length: two of them", two, expected=(BARE,))
    same = head(_POST, *_NO_LENGTH, b"content-length: " + right, b"content-length: " + right) + body
    yield raw("length: the same twice", same, expected=[SENTENCE])
    yield raw(
        "length: the same twice in a line",
        head(_POST, *_NO_LENGTH, b"content-length: " + right + b", " + right) + body,
        expected=[BARE],
    )
    yield raw("length: zeros before", head(_POST, *_NO_LENGTH, b"content-length: 000" + right) + body, expected=[SENTENCE])
    yield raw("length: none", head(_POST, *_NO_LENGTH) + body, expected=(BAD_FORM,))
    yield raw("length: too short", posted(body, length=b"1000"), expected=(BAD_FORM,))
    yield raw("length: too long, and then nobody", posted(body, length=b"999999"), expected=[BAD_FORM], ends=True)
    yield raw("length: of a request behind it", posted(body, length=right) + _SMUGGLED, expected=(SENTENCE,))
    both = head(_POST, *_CHUNKED, b"content-length: 5") + _chunked(body)
    yield raw("length: and chunks", both, expected=[SENTENCE])
    yield raw(
        "length: and chunks, and a request",
        head(_POST, *_CHUNKED, b"content-length: 4") + b"0\r\n\r\n" + _SMUGGLED,
        expected=[BAD_FORM],
    )
    hidden = head("POST /healthz", b"content-length: 44", b"transfer-encoding: chunked") + b"0\r\n\r\n" + _SMUGGLED
    yield raw("length: of a request hidden in a body", hidden, expected=[_NO_METHOD])


def _chunks() -> Iterator[Case]:
    body = form(wav())
    for value in (
        b"chunked, chunked",
        b"xchunked",
        b"gzip",
        b"identity",
        b"chunked, identity",
        b"\x0bchunked",
        b"chunked;x=y",
        b'"chunked"',
        b"",
    ):
        sent = head(_POST, *_NO_LENGTH, b"transfer-encoding: " + value) + _chunked(body)
        yield raw(f"coding: {value!a}", sent, expected=[SENTENCE if value == b"chunked, chunked" else BARE])
    old = (
        b"POST "
        + TRANSCRIPTIONS.encode()
        + b" HTTP/1.0\r\n"
        + _NO_LENGTH[0]
        + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        + _chunked(body)
    )
    yield raw("coding: in HTTP/1.0", old, expected=[BARE])
    start = head(_POST, *_CHUNKED)
    yield raw("chunks: right", start + _chunked(body), expected=(SENTENCE,))
    yield raw("chunks: a byte each", start + _chunked(form(wav()[:5_000]), n_bytes=1), expected=(OK,))
    for name, data in {
        "a size that is none": b"zz\r\nhello\r\n0\r\n\r\n", "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
        "a size of 2^64": b"10000000000000000\r\nhello\r\n",
        "a size of 1,000 digits": b"0" * 1_000 + b"5\r\nhello\r\n0\r\n\r\n", "no line end behind": b"5\r\nhello0\r\n\r\n",
        "a size too small": b"2\r\nhello\r\n0\r\n\r\n",
        "sizes that end in line feeds": b"5\nhello\n0\n\n", "0x before a size": b"0x5\r\nhello\r\n0\r\n\r\n",
        "a space before a size": b" 5\r\nhello\r\n0\r\n\r\n",
        "no size": b"\r\nhello\r\n0\r\n\r\n", "1 MB of extension": b"5;" + b"x" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n",
        "10,000 small extensions": (b"1;" + b"x" * 100 + b"\r\na\r\n") * 10_000 + b"0\r\n\r\n", "nothing but the end": b"0\r\n\r\n",
        "1 MB of trailers": b"0\r\n" + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
        "10,000 trailers": b"0\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
    }.items():  # fmt: skip
        yield raw(f"chunks: {name}", start + data, expected=[BAD_FORM])
    yield raw("chunks: an extension each", start + _chunked(body, extension=b';a="b"'), expected=(SENTENCE,))
    yield raw("chunks: trailers", start + _chunked(body)[:-2] + b"content-length: 5\r\nhost: evil\r\n\r\n", expected=(SENTENCE,))
    yield raw("chunks: no end, and then nobody", start + _chunked(body)[:-5], expected=[BAD_FORM], ends=True)
    yield raw("chunks: a request behind the end", start + _chunked(body) + _SMUGGLED, expected=(SENTENCE,))


def _rest() -> Iterator[Case]:
    waits = posted(form(wav()), b"expect: 100-continue")
    yield raw("expects to be told to go on", waits, expected=(SENTENCE,))
    yield raw("expects what nobody knows", posted(form(wav()), b"expect: " + b"x" * 500), expected=[SENTENCE])
    three = _SMUGGLED * 2 + head("GET /healthz")
    yield raw("three requests at once", three, expected=(Told(status=200, n_answers=3),))
    yield raw("a thousand requests at once", _SMUGGLED * 999 + head("GET /healthz"), expected=(Told(status=200, n_answers=1_000),))
    yield case("a byte at a time", lambda: Exchange(pieces=[bytes([one]) for one in head("GET /healthz")]), OK)
    leaves = posted(form(wav()))[:-10_000]
    yield raw("leaves in the middle of its upload", leaves, expected=[BAD_FORM], ends=True)
    yield raw("half a head, and leaves", head(_POST)[:50], expected=[CUT], ends=True)


def _chunked(body: bytes, *, n_bytes: int = 10_000, extension: bytes = b"") -> bytes:
    pieces = (body[at : at + n_bytes] for at in range(0, len(body), n_bytes))
    return b"".join(b"%x" % len(piece) + extension + b"\r\n" + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
