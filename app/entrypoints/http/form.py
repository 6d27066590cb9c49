"""A multipart body, parsed as it arrives: text fields into memory, the upload into an unlinked file, both within limits."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO, Final, Self

import structlog
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from ...domain.errors import FileTooLargeError, InvalidRequestError, OverloadedError
from ..throttle import Throttle

log = structlog.stdlib.get_logger()

FILE_FIELD: Final = "file"
_UNREAD_FIELDS: Final = frozenset({"known_speaker_references", "known_speaker_references[]"})  # recordings nobody here looks at
MEGABYTE: Final = 1_000_000
_MOST_PARTS: Final = 128  # 100 keywords have a part each, and so has each other field
_TEXT_BYTES: Final = 64 * 1024  # of one text field
_ALL_TEXT_BYTES: Final = 512 * 1024  # of all text fields together, their names included
_SMALL_PIECE_BYTES: Final = 512  # a full packet of a network is larger
_SMALL_PIECES_PER_S: Final = 2_000  # chosen: 6 % of a core
_SMALL_PIECES_AT_ONCE: Final = 10_000
_PENDING_BYTES: Final = 64 * 1024  # of the upload kept in memory before a thread writes them to disk: uploads may be many
_NO_ROOM_RETRY_S: Final = 30  # what a client is told to wait where there is no room for its upload
_OVERHEAD_BYTES: Final = _ALL_TEXT_BYTES + _MOST_PARTS * 4_224  # what a body may hold beside the upload


class Form:
    """A parsed body. Leaving the context closes the upload, and with it the last trace of it."""

    def __init__(self, fields: dict[str, list[str]], upload: BinaryIO | None) -> None:
        self._fields, self._upload = fields, upload

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        if self._upload is not None:
            self._upload.close()

    def take_upload(self) -> BinaryIO:
        """Hand over the uploaded file, at its start, to a caller who will close it.

        Raises:
            InvalidRequestError: No file was sent.
        """
        if self._upload is None:
            raise InvalidRequestError("the form has no part named `file`; send the audio in it", field=FILE_FIELD)
        upload, self._upload = self._upload, None
        return upload

    def text(self, name: str) -> str | None:
        """Return the last value of a field, None if it was not sent."""
        values = self._fields.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool:
        """Return a true-or-false field, False if it was not sent or is empty.

        Raises:
            InvalidRequestError: It is neither.
        """
        value = (self.text(name) or "false").strip().lower()
        if value not in ("true", "1", "false", "0"):
            raise InvalidRequestError(f"`{name}` must be `true` or `false`", field=name)
        return value in ("true", "1")

    def texts(self, name: str) -> list[str]:
        """Return every value of a list, sent as `name[]` by OpenAI's clients or as `name` by others; empty ones left out."""
        sent = (*self._fields.get(f"{name}[]", ()), *self._fields.get(name, ()))
        return [value.strip() for value in sent if value.strip()]

    def names(self, name: str) -> list[str]:
        """Return every name of a list as `texts` does, and of values with commas each part."""
        return [part.strip() for value in self.texts(name) for part in value.split(",") if part.strip()]

    def members(self, name: str) -> dict[str, str]:
        """Return what was sent as `name[member]`, the way OpenAI's clients send objects; the last value of each."""
        opening = f"{name}["
        return {
            field.removeprefix(opening).removesuffix("]"): values[-1]
            for field, values in self._fields.items()
            if field.startswith(opening) and field.endswith("]") and field != f"{name}[]"
        }


async def read_form(headers: Mapping[str, str], body: AsyncIterator[bytes], *, max_upload_mb: int) -> Form:
    """Read a whole multipart body.

    File names, part types and charsets are not looked at: the audio says what it is, and text is UTF-8 with what
    is not replaced.

    Args:
        headers: Of the request; names in small letters.

    Raises:
        InvalidRequestError: It is no multipart form, or one that breaks off, or holds too much beside the file.
        FileTooLargeError: As soon as more is announced, or has arrived, than is allowed; the rest is not read.
        OverloadedError: The disk is full, or there is another reason why nothing can be written.
    """
    reader, parser = _Reader(max_upload_mb), _parser(headers, max_upload_mb=max_upload_mb)
    try:
        throttle = Throttle(small_bytes=_SMALL_PIECE_BYTES, per_s=_SMALL_PIECES_PER_S, at_once=_SMALL_PIECES_AT_ONCE)
        received = 0
        async for chunk in body:
            await throttle.take(len(chunk))
            received += len(chunk)
            if received > max_upload_mb * MEGABYTE + _OVERHEAD_BYTES:
                raise FileTooLargeError(limit_mb=max_upload_mb)
            if chunk:
                await reader.take(parser, chunk)
        await reader.take(parser, b"")
        return await reader.finished()
    except BaseException as failure:
        reader.close()
        if isinstance(failure, ParserLimitReached):
            raise InvalidRequestError(f"the form is too large: at most {_MOST_PARTS} parts with headers under 4 KiB") from failure
        if isinstance(failure, MultipartError | UnicodeError):
            raise InvalidRequestError("the body is not a complete multipart form") from failure
        raise


def _parser(headers: Mapping[str, str], *, max_upload_mb: int) -> PushMultipartParser:
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise InvalidRequestError(f"the body is encoded as `{coding}`; send it as it is")
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > max_upload_mb * MEGABYTE + _OVERHEAD_BYTES:
        raise FileTooLargeError(limit_mb=max_upload_mb)
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise InvalidRequestError("the body must be multipart/form-data with a boundary")
    try:
        return _Parser(options["boundary"], max_segment_count=_MOST_PARTS)
    except (MultipartError, UnicodeError) as fault:
        raise InvalidRequestError("the form's boundary cannot be one") from fault


class _Parser(PushMultipartParser):  # type: ignore[misc]  # multipart ships no types
    """Treats the lines of a part's header alike, wherever a packet ends and in whatever charset a file is named."""

    def _on_segment_headerline(self, line: bytes) -> None:
        if b"\n" in line:  # by itself the parser refuses it only where a piece ends within the line
            raise MultipartError("a bare line feed in a part's header")
        # What is no UTF-8 would be refused; a sign of one byte keeps the line as long as it was.
        super()._on_segment_headerline(line.decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?").encode())


class _Reader:
    def __init__(self, max_upload_mb: int) -> None:
        self._max_upload_mb = max_upload_mb
        self._fields: dict[str, list[str]] = {}
        self._upload: BinaryIO | None = None
        self._has_upload = self._closed = False
        self._upload_bytes = 0
        self._text_bytes = 0
        self._name: str | None = None
        self._value = bytearray()  # of the part being read, as far as it is not on disk

    async def take(self, parser: PushMultipartParser, chunk: bytes) -> None:
        for event in parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._begin(event.name or "")
            elif event is None:
                await self._end()
            else:
                if self._name in _UNREAD_FIELDS:
                    continue
                self._count(len(event))
                self._value += event
                if self._name == FILE_FIELD and len(self._value) >= _PENDING_BYTES:
                    await self._write()

    async def finished(self) -> Form:
        if self._upload is not None:
            with _storing():
                await asyncio.to_thread(self._upload.seek, 0)
        return Form(self._fields, self._upload)

    def close(self) -> None:
        self._closed = True
        if self._upload is not None:
            with suppress(OSError):  # closing writes what is left, which may fail as what went before it did
                self._upload.close()

    def _begin(self, name: str) -> None:
        self._name = name
        if name != FILE_FIELD:
            self._count(len(name))
        elif self._has_upload:
            raise InvalidRequestError("the form has more than one part named `file`", field=FILE_FIELD)
        else:
            self._has_upload = True

    async def _end(self) -> None:
        if self._name == FILE_FIELD:
            await self._write()
        elif self._name is not None:
            self._fields.setdefault(self._name, []).append(self._value.decode("utf-8", "replace"))
        self._value = bytearray()

    async def _write(self) -> None:
        with _storing():
            await asyncio.to_thread(self._store, self._value)
        self._value = bytearray()

    def _store(self, data: bytearray) -> None:
        if self._upload is None:
            self._upload = tempfile.TemporaryFile()  # noqa: SIM115  # unlinked from the start; the form closes it
            if self._closed:  # meanwhile, by a request that was given up
                self._upload.close()
        self._upload.write(data)

    def _count(self, n_bytes: int) -> None:
        if self._name == FILE_FIELD:
            self._upload_bytes += n_bytes
            if self._upload_bytes > self._max_upload_mb * MEGABYTE:
                raise FileTooLargeError(limit_mb=self._max_upload_mb)
            return
        self._text_bytes += n_bytes
        if len(self._value) + n_bytes > _TEXT_BYTES:
            raise InvalidRequestError(f"a text field is longer than the limit of {_TEXT_BYTES} bytes", field=self._name)
        if self._text_bytes > _ALL_TEXT_BYTES:
            raise InvalidRequestError(f"the text fields are together longer than the limit of {_ALL_TEXT_BYTES} bytes")


@contextmanager
def _storing() -> Iterator[None]:
    """Turn a full disk, too many open files and the like into an answer; the operator reads the cause in the log.

    Raises:
        OverloadedError: The block failed so.
    """
    try:
        yield
    except OSError as fault:
        log.error("upload_not_stored", reason=fault.strerror)
        told = "there is no room for the upload now; try again later"
        raise OverloadedError(told, retry_after_s=_NO_ROOM_RETRY_S) from fault
