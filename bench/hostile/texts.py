"""Names, addresses, headers and JSON that lead elsewhere or are no text at all. A name is never used as a path."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from .case import BAD_FORM, BARE, OK, SENTENCE, Case, Told, enclosed, fields, form, head, part, posted, raw, wrong
from .sounds import wav

_SECRETS: Final = "/v1/realtime/client_secrets"
_TIME: Final = wrong("expires_after.seconds")
_UNKNOWN: Final = Told(status=400, code="unknown_parameter", param="session.__proto__")
_NOT_FOUND: Final = Told(status=404, code="not_found")
_NO_SUCH_MODEL: Final = Told(status=404, code="model_not_found", param="model")


def cases() -> Iterator[Case]:
    """Yield the family."""
    yield from _names()
    yield from _values()
    yield from _paths()
    yield from _headers()
    yield from _json()


def _names() -> Iterator[Case]:
    for name, said in {
        "a path upwards": b"../../../etc/passwd", "a path": b"/etc/passwd", "of Windows": b"C:\\con\\nul",
        "of a device": b"\\\\.\\pipe\\x",
        "a template": b"${jndi:ldap://127.0.0.1/a}", "a command": b"$(id);`id`|id", "a format": b"%s%n%x{0.__class__}",
        "empty": b"",
        "no UTF-8": b"\xff\xfe\xc3\x28.wav", "too long in UTF-8": b"\xc0\xae\xc0\xae/",
        "from right to left": "\u202evaw.exe".encode(),
        "signs that combine": "Z\u0351\u036b".encode() * 200, "of 3,000 letters": b"a" * 3_000,
        "html": b"<script>alert(1)</script>", "a dot": b".",
        "a quote": b'a\\".wav', "with NUL": b"a\0.wav", "with a line end": b"a\r\nx-a: b",
    }.items():  # fmt: skip
        yield raw(f"file name: {name}", posted(form(wav(), file_name=said)), expected=[SENTENCE])
    yield raw("file name: of 64 KB", posted(form(wav(), file_name=b"a" * 65_536)), expected=[BAD_FORM])
    starred = part(b"form-data; name=\"file\"; filename*=utf-8''%00%ff%2e%2e%2f", wav())
    yield raw("file name: percent-encoded", posted(enclosed([starred])), expected=[SENTENCE])
    for name, said in (
        ("no UTF-8", b"\xff\xfe"),
        ("brackets", b"a[b][c"),
        ("of 3,000 letters", b"n" * 3_000),
        ("__proto__", b"__proto__"),
    ):
        odd = part(b'form-data; name="' + said + b'"', b"x")
        whole = enclosed([odd, part(b'form-data; name="file"', wav())])
        yield raw(f"field name: {name}", posted(whole), expected=[SENTENCE])


def _values() -> Iterator[Case]:
    for name, said in {
        "no UTF-8": b"\xff\xfe\x80", "NUL": b"\0" * 100, "half surrogates": b"\xed\xa0\x80",
        "from right to left": "\u202e\u2066".encode(),
        "escapes of a terminal": b"\x1b]0;x\7\x1b[2J", "lines of a log": b'\n{"event": "request_failed", "level": "error"}\n',
        "html": b"<img src=x onerror=1>",
    }.items():  # fmt: skip
        yield fields(f"prompt: {name}", [("prompt", said)], SENTENCE, data=wav)
    yield fields("model: no UTF-8", [("model", b"\xff\xfe")], _NO_SUCH_MODEL, data=wav)
    yield fields("language: no UTF-8", [("language", b"\xff")], Told(status=400, code="invalid_value", param="language"), data=wav)
    yield fields("keyword: no UTF-8", [("keywords[]", b"\xff\xfe")], OK, data=wav)


def _paths() -> Iterator[Case]:
    for path in (
        "/../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../../../etc/passwd",
        "/v1/../debug",
        "//etc/passwd", "/%00", "/v1/audio/transcriptions%00.wav", "/%ff%fe", "/%c0%ae%c0%ae/", "/\\..\\..", "/.git/config",
        "/.env", "/admin",
        "/v1/audio", "/cgi-bin/../../bin/sh", "/page/..%2f..%2fsettings.py", "/docs/..%2f..%2fx", "/%", "/%zz", "/" + "a/" * 5_000,
        "/?" + "a=b&" * 10_000 + "x",
        "/v1/audio/transcriptions/../../../healthz",
    ):  # fmt: skip
        told = OK if path.startswith("/?") else _NOT_FOUND
        yield raw(f"GET {path[:45]}", head(f"GET {path}"), expected=[told])
    for name in ("..%2f..%2fetc%2fpasswd", "%00", "a" * 5_000, "%ff", "{{7*7}}"):
        yield raw(f"model {name[:20]}", head(f"GET /v1/models/{name}"), expected=[_NO_SUCH_MODEL])
    yield raw("an address of 100 KB", head("GET /" + "a" * 100_000), expected=[Told(status=414)])
    yield raw("an address of 1 MB", head("GET /" + "a" * 1_000_000), expected=[Told(status=431)])
    yield raw("a whole address", head("GET http://127.0.0.1:1/healthz"), expected=[OK])
    yield raw("bytes above ASCII", head(b"GET /\xff\xfe\xe4"), expected=[BARE])


def _headers() -> Iterator[Case]:
    for name, line in {
        "an id with spaces": b"x-request-id: a b", "an id of 8 KB": b"x-request-id: " + b"a" * 8_000,
        "an id above ASCII": b"x-request-id: \xff\xfe",
        "an id that is an attack": b"x-request-id: ${jndi:ldap://127.0.0.1/a}",
        "a key of 8 KB": b"authorization: Bearer " + b"k" * 8_000,
        "a key above ASCII": b"authorization: Bearer \xff\xfe", "a scheme alone": b"authorization: Bearer",
        "no scheme": b"authorization: ",
        "basic": b"authorization: Basic Og==", "forwarded for all": b"x-forwarded-for: " + b"1.2.3.4, " * 500,
        "forwarded for none": b"x-forwarded-for: \xff",
        "a prefix": b"x-forwarded-prefix: //evil.example", "another host": b"x-forwarded-host: evil.example",
        "a path instead": b"x-original-url: /debug/cfg",
        "a method instead": b"x-http-method-override: DELETE", "a trace without sense": b"traceparent: 00-zz-zz-zz",
        "a trace of 8 KB": b"tracestate: " + b"a=b," * 2_000,
        "a million cookies": b"cookie: " + b"a=b; " * 10_000, "ranges": b"range: bytes=" + b"0-1," * 2_000 + b"0-",
        "languages": b"accept-language: " + b"a;q=0.1," * 2_000,
        "nothing acceptable": b"accept: x/y", "an origin above ASCII": b"origin: \xff", "an origin that is null": b"origin: null",
        "if it has changed": b"if-none-match: " + b'"a", ' * 2_000,
        "a proxy": b"proxy: http://127.0.0.1:1/", "an agent above ASCII": b"user-agent: \xff\xfe\r\nx-b: c",
    }.items():  # fmt: skip
        yield raw(f"header: {name}", head("GET /v1/models", *line.split(b"\r\n")), expected=(OK,))
    preflight = (
        b"origin: https://evil.example",
        b"access-control-request-method: POST",
        b"access-control-request-headers: a\xff, b",
    )
    yield raw("header: a foreign preflight", head("OPTIONS /v1/models", *preflight), expected=(Told(status=204),))


def _json() -> Iterator[Case]:
    for name, body, told in (
        ("nothing", b"", OK), ("null", b"null", BAD_FORM), ("a list", b"[]", BAD_FORM), ("a number", b"1", BAD_FORM),
        ("half an object", b'{"session": {', BAD_FORM), ("a form", form(wav()), BAD_FORM),
        ("UTF-16", '{"session": {}}'.encode("utf-16"), BAD_FORM),
        ("no UTF-8", b'{"session": {"type": "\xff"}}', BAD_FORM),
        ("half a surrogate", b'{"session": {"type": "\\ud800"}}', BAD_FORM),
        ("100,000 brackets", b"[" * 100_000, BAD_FORM), ("100,000 objects", b'{"a":' * 100_000, BAD_FORM),
        ("NaN", b'{"session": NaN}', BAD_FORM),
        ("20 MB of brackets", b"[" * 20_000_000, BAD_FORM), ("5 MB of spaces", b" " * 5_000_000, BAD_FORM),
        ("a number of 100,000 digits", _lasting(b"9" * 100_000), BAD_FORM), ("-1 s", _lasting(b"-1"), _TIME),
        ("1e400 s", _lasting(b"1e400"), BAD_FORM),
        ("a text for seconds", _lasting(b'"600"'), _TIME), ("NUL", b'{"session": {"type": "\0"}}', BAD_FORM),
        ("an unknown member", b'{"session": {"__proto__": {}}}', _UNKNOWN),
        ("a type of 100 KB", b'{"session": {"type": "' + b"t" * 100_000 + b'"}}', wrong("session.type")),
        ("a member twice", b'{"session": {"type": "none"}, "session": {"type": "transcription"}}', OK),
    ):  # fmt: skip
        yield raw(
            f"JSON: {name}", partial(posted, body, path=_SECRETS, content_type=b"application/json; charset=utf-7"), expected=[told]
        )


def _lasting(seconds: bytes) -> bytes:
    return b'{"expires_after": {"anchor": "created_at", "seconds": ' + seconds + b"}}"
