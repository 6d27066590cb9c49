"""The multipart body: in whatever pieces it comes, it is the same form or the same refusal, and nothing stays open."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from app.domain.errors import FileTooLargeError, InvalidRequestError, SpeechError
from app.entrypoints.http.form import MEGABYTE, Form, read_form

HEADERS: Final = {"content-type": "multipart/form-data; boundary=xyz"}
TEXT_LIMIT_BYTES: Final = 64 * 1024
AUDIO: Final = bytes(range(256)) + b"\r\n--xy\r\n--xy?--xyz\r\r\n--"  # with much that almost is the boundary


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own for temporary files; none may be left in it, nor open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []
    assert open_files_in(tmp_path) == []


def open_files_in(folder: Path) -> list[str]:
    """Return what this process holds open there, names that are gone included."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # the one that listed the folder
    return [name for name in found if name.startswith(str(folder))]


def part(name: str, value: bytes, *, more: str = "", headers: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return head.encode() + value + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xyz--\r\n"


class Chunks:
    """A body in pieces; counts how many were asked for."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size
        self.n_taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), self._size):
            self.n_taken += 1
            yield self._data[at : at + self._size]


def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    return Chunks(data, size).__aiter__()


def read(data: bytes, *, size: int = 1 << 16, max_upload_mb: int = 1, **headers: str) -> Form:
    """Read a body; headers have an underscore for a dash."""
    sent = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(read_form(sent, chunks(data, size), max_upload_mb=max_upload_mb))


def audio_of(form: Form) -> bytes:
    with form, form.take_upload() as upload:
        assert upload.tell() == 0
        return upload.read()


def refusal(data: bytes, *, size: int = 1 << 16, **headers: str) -> SpeechError:
    with pytest.raises(SpeechError) as refused:
        read(data, size=size, max_upload_mb=1, **headers)
    return refused.value


def test_chunks_of_every_size_give_the_same_form() -> None:
    data = body(part("model", b"whisper-1"), part("file", AUDIO, more='; filename="a.wav"'), part("language", "schön".encode()))

    async def read_in_every_size() -> None:
        for size in range(1, len(data) + 1):
            with await read_form(HEADERS, chunks(data, size), max_upload_mb=1) as form:
                assert audio_of(form) == AUDIO, size
                assert (form.text("model"), form.text("language")) == ("whisper-1", "schön"), size

    asyncio.run(read_in_every_size())


def test_parts_may_come_in_any_order() -> None:
    file, model = part("file", AUDIO, more='; filename="a.wav"'), part("model", b"m")
    for data in (body(file, model), body(model, file)):
        form = read(data)
        assert form.text("model") == "m"
        assert audio_of(form) == AUDIO


@pytest.mark.parametrize(
    "more",
    ["", '; filename=""', "; filename=a.wav", '; filename="../../etc/passwd"', '; filename="a\\"b;c\'d.wav"',
     "; filename*=UTF-8''%e2%82%ac", '; filename="C:\\a\\b.wav"', '; filename="' + "n" * 3_000 + '"', '; filename="\N{SNOWMAN}"'],
)  # fmt: skip
def test_the_upload_is_the_part_named_file_whatever_its_file_name(more: str) -> None:
    assert audio_of(read(body(part("file", AUDIO, more=more)))) == AUDIO


@pytest.mark.parametrize(
    "name", ["B\u00fcro.wav".encode("cp1252"), "\u0437".encode("cp1251") * 3_000, b"\xff\xfe\xc3\x28", b"a\0b"]
)
def test_the_upload_may_be_named_in_any_charset(name: bytes) -> None:
    data = body(part("file", AUDIO, more='; filename="NAME"')).replace(b"NAME", name)
    assert audio_of(read(data)) == AUDIO


def test_a_field_whose_name_is_no_utf_8_is_one_that_nobody_knows() -> None:
    form = read(body(part("NAME", b"x"), part("file", AUDIO)).replace(b"NAME", b"prompt\xff"))
    assert form.text("prompt") is None
    assert audio_of(form) == AUDIO


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain; charset=klingon", "video/mp4", "no type at all", ""])
def test_types_and_charsets_of_parts_are_not_looked_at(kind: str) -> None:
    headers = f"Content-Type: {kind}\r\n"
    form = read(body(part("file", AUDIO, headers=headers), part("model", b"m", headers=headers)))
    assert form.text("model") == "m"
    assert audio_of(form) == AUDIO


def test_text_that_is_no_utf_8_is_replaced_and_not_refused() -> None:
    with read(body(part("prompt", b"a\xff\xfeb"))) as form:
        assert form.text("prompt") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("name", ["'file'", "fi le", "FILE", "file[]", 'a\\"b', ""])
def test_only_the_exact_name_is_the_upload(name: str) -> None:
    with read(body(part(name, b"x"))) as form, pytest.raises(InvalidRequestError, match="no part named") as refused:
        form.take_upload()
    assert refused.value.field == "file"


def test_a_name_may_hold_quotes_that_are_escaped() -> None:
    with read(body(part('a\\"b', b"x"))) as form:
        assert form.text('a"b') == "x"


def test_of_a_repeated_field_the_last_value_counts() -> None:
    with read(body(part("model", b"a"), part("model", b"b"))) as form:
        assert form.text("model") == "b"


def test_fields_may_be_empty_and_a_missing_one_is_none() -> None:
    with read(body(part("model", b""))) as form:
        assert form.text("model") == ""
        assert form.text("other") is None


@pytest.mark.parametrize(
    ("value", "expected"), [(b"true", True), (b"True", True), (b" 1 ", True), (b"false", False), (b"0", False), (b"", False)]
)
def test_flags_are_true_or_false(value: bytes, expected: bool) -> None:
    with read(body(part("stream", value))) as form:
        assert form.flag("stream") is expected
        assert form.flag("missing") is False


@pytest.mark.parametrize("value", [b"yes", b"2", b"truee", b"\xff"])
def test_a_flag_that_is_neither_is_refused_by_name(value: bytes) -> None:
    with read(body(part("stream", value))) as form, pytest.raises(InvalidRequestError) as refused:
        form.flag("stream")
    assert refused.value.field == "stream"


def test_an_empty_upload_is_an_empty_file() -> None:
    assert audio_of(read(body(part("file", b"", more='; filename="a.wav"')))) == b""


def test_an_empty_form_is_a_form() -> None:
    with read(b"--xyz--\r\n") as form:
        assert form.text("model") is None


def test_what_stands_before_and_after_the_parts_is_not_looked_at() -> None:
    assert audio_of(read(b"preamble\r\n" + body(part("file", AUDIO)) + b"epilogue")) == AUDIO


def test_the_boundary_may_be_quoted() -> None:
    assert audio_of(read(body(part("file", AUDIO)), content_type='Multipart/Form-Data; charset=utf-8; boundary="xyz"')) == AUDIO


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_two_files_are_refused(size: int) -> None:
    refused = refusal(body(part("file", AUDIO), part("file", AUDIO)), size=size)
    assert isinstance(refused, InvalidRequestError)
    assert refused.field == "file"


def test_too_many_parts_are_refused() -> None:
    with read(body(*(part(f"f{i}", b"x") for i in range(128)))) as form:
        assert form.text("f127") == "x"
    assert isinstance(refusal(body(*(part(f"f{i}", b"x") for i in range(129)))), InvalidRequestError)


@pytest.mark.parametrize("size", [1_000, 1 << 20])
def test_a_text_field_that_is_too_long_is_refused_by_name(size: int) -> None:
    with read(body(part("prompt", b"x" * TEXT_LIMIT_BYTES))) as form:
        assert len(form.text("prompt") or "") == TEXT_LIMIT_BYTES
    refused = refusal(body(part("file", AUDIO), part("prompt", b"x" * (TEXT_LIMIT_BYTES + 1))), size=size)
    assert isinstance(refused, InvalidRequestError)
    assert refused.field == "prompt"


def test_text_fields_that_are_too_long_together_are_refused() -> None:
    assert isinstance(refusal(body(*(part(f"f{i}", b"x" * 60_000) for i in range(10)))), InvalidRequestError)


@pytest.mark.parametrize("header", ["X-Long: " + "x" * 5_000 + "\r\n", "".join(f"X-{i}: 1\r\n" for i in range(20))])
def test_headers_that_are_too_large_are_refused(header: str) -> None:
    assert isinstance(refusal(body(part("file", AUDIO, headers=header))), InvalidRequestError)


def test_an_upload_of_exactly_the_limit_is_taken() -> None:
    assert len(audio_of(read(body(part("file", bytes(MEGABYTE)))))) == MEGABYTE


def test_one_byte_more_is_refused() -> None:
    assert isinstance(refusal(body(part("file", bytes(MEGABYTE + 1)))), FileTooLargeError)


def test_a_large_upload_is_whole_on_disk() -> None:
    data = os.urandom(5 * MEGABYTE)
    assert audio_of(read(body(part("file", data)), size=100_000, max_upload_mb=6)) == data


@pytest.mark.parametrize("first", [b"--xyz\r\nContent-Disposition: form-data; name=file\r\n\r\n", b""])
def test_too_much_is_refused_before_all_of_it_is_read(first: bytes) -> None:
    """With a part to put it in, and as a preamble that never ends."""
    stream = Chunks(first + bytes(100 * MEGABYTE), 100_000)
    with pytest.raises(FileTooLargeError, match="1 MB"):
        asyncio.run(read_form(HEADERS, stream.__aiter__(), max_upload_mb=1))
    assert stream.n_taken <= 30  # of 1,000


def test_too_much_that_is_announced_is_refused_unread() -> None:
    stream = Chunks(body(part("file", AUDIO)), 100)
    headers = {**HEADERS, "content-length": str(10 * MEGABYTE)}
    with pytest.raises(FileTooLargeError, match="1 MB"):
        asyncio.run(read_form(headers, stream.__aiter__(), max_upload_mb=1))
    assert stream.n_taken == 0


@pytest.mark.parametrize("length", ["0", "900000", "-5", "many", "9" * 10_000, "\N{SUPERSCRIPT TWO}"])
def test_what_is_announced_falsely_is_counted_all_the_same(length: str) -> None:
    assert audio_of(read(body(part("file", AUDIO)), content_length=length)) == AUDIO


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "x"])
def test_a_body_that_is_encoded_is_refused_unread(coding: str) -> None:
    assert isinstance(refusal(body(part("file", AUDIO)), content_encoding=coding), InvalidRequestError)
    assert audio_of(read(body(part("file", AUDIO)), content_encoding="Identity")) == AUDIO


def test_a_body_of_very_many_pieces_is_read_no_faster_than_others_can_bear() -> None:
    pieces = 11_000  # of which 10,000 may come at once, and 2,000 a second
    data = body(part("file", bytes(pieces)))
    began_s = time.monotonic()
    assert len(audio_of(read(data, size=1))) == pieces
    assert time.monotonic() - began_s > 0.5


def test_a_body_that_breaks_off_anywhere_is_refused() -> None:
    data = body(part("model", b"m"), part("file", b"audio", more='; filename="a.wav"'))
    end = data.rindex(b"--\r\n")

    async def read_in_every_length() -> None:
        for length in range(end + 1):
            with pytest.raises(InvalidRequestError):
                await read_form(HEADERS, chunks(data[:length], 64), max_upload_mb=1)

    asyncio.run(read_in_every_length())


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    class GoneError(Exception):
        pass

    async def breaking_off() -> AsyncIterator[bytes]:
        yield body(part("file", bytes(MEGABYTE)))[:-20]
        raise GoneError

    with pytest.raises(GoneError):
        asyncio.run(read_form(HEADERS, breaking_off(), max_upload_mb=1))


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary=""',
     "multipart/mixed; boundary=xyz", "application/x-www-form-urlencoded", "multipart/form-data; boundary=other",
     'multipart/form-data; boundary="x\ny"', "multipart/form-data; boundary=\xff", 'multipart/form-data; boundary="\ud800"',
     "multipart/form-data; boundary=" + "x" * 100_000],
)  # fmt: skip
def test_what_is_no_form_with_its_boundary_is_refused(content_type: str) -> None:
    assert isinstance(refusal(body(part("file", AUDIO)), content_type=content_type), InvalidRequestError)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00" * 1_000, b"--xyz\r\n\r\nno headers\r\n--xyz--\r\n", b"--xyz\r\nno colon\r\n\r\nx\r\n--xyz--\r\n",
        b"--xyz\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n--xyz--\r\n",
        b"--xyz\nContent-Disposition: form-data; name=file\n\nx\n--xyz--\n",
        b"--xyz\r\nContent-Disposition: form-data; name=file\r\nContent-Length: 9\r\n\r\nx\r\n--xyz--\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1 << 16])
def test_a_malformed_body_is_refused(data: bytes, size: int) -> None:
    assert isinstance(refusal(data, size=size), InvalidRequestError)
