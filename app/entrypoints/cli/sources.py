"""What `transcribe` shall hear: files, folders, patterns, addresses and standard input, each opened as a file that can seek."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

import msgspec

from ...domain.errors import AudioRejectedError, FileTooLargeError

STDIN: Final = "-"
# What is taken from a folder unless a pattern chooses; what a file really is, its content decides.
_ENDINGS: Final = frozenset(
    ("aac", "aif", "aiff", "flac", "m4a", "mka", "mkv", "mov", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm")
)
_MEGABYTE: Final = 1_000_000
_STEP_BYTES: Final = 256 * 1024


class UsageError(Exception):
    """The command cannot be run as it was called; the text says why."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: a file, or a pipe of that name, if `path` is set, else an address if `url` is, else standard input."""

    name: str  # as the user knows it
    relative: Path  # below the output folder, its own ending included
    path: Path | None = None
    url: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it can seek, and may be read again; pipes like the shell's `<(...)` cannot."""
        return self.path is not None and self.path.is_file()

    @property
    def size_bytes(self) -> int:
        """Of a file; 0 where nobody knows."""
        return self.path.stat().st_size if self.path else 0


def sources_of(inputs: Sequence[str], urls: Sequence[str], pattern: str | None) -> list[Source]:
    """Find every recording, each once, in the order of the arguments and by name within a folder.

    Args:
        inputs: Files, folders (searched to the bottom), patterns that the shell left alone, `-`.
        pattern: Of the names that are taken from folders; None: the endings of the formats that can be decoded.

    Raises:
        UsageError: One is not there, or is no http address; or there is none at all.
    """
    found: dict[str, Source] = {}
    for given in inputs:
        for source in _found(given, pattern):
            found.setdefault(str(source.path.resolve()) if source.path else source.name, source)
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--url {url}: only http:// and https:// addresses are downloaded")
        found.setdefault(url, Source(name=url, relative=Path(Path(unquote(parts.path)).name or parts.hostname), url=url))
    if not found and inputs:
        wanted = f"is called {pattern}" if pattern else "has the ending of a recording (--glob chooses other names)"
        raise UsageError(f"there is nothing to transcribe: no file in {', '.join(inputs)} {wanted}")
    if not found:
        raise UsageError("there is nothing to transcribe: name files, folders, `-` or --url")
    return list(found.values())


def _found(given: str, pattern: str | None) -> Iterator[Source]:
    path = Path(given)
    if given == STDIN:
        yield Source(name="standard input", relative=Path("stdin"))
    elif path.is_dir():
        for inner in sorted(path.rglob(pattern or "*")):
            below = inner.relative_to(path)
            hidden = any(part.startswith(".") for part in below.parts)
            if inner.is_file() and not hidden and (pattern or inner.suffix[1:].lower() in _ENDINGS):
                yield Source(name=shown(inner), relative=below, path=inner)
    elif path.exists():
        yield Source(name=shown(given), relative=Path(path.name), path=path)
    elif any(sign in given for sign in "*?["):
        anchor = Path(path.anchor)
        matches = sorted(inner for inner in anchor.glob(str(path.relative_to(anchor))) if inner.is_file())
        if not matches:
            raise UsageError(f"{given}: nothing matches")
        for inner in matches:
            yield Source(name=shown(inner), relative=Path(inner.name), path=inner)
    else:
        raise UsageError(f"{given}: there is no such file or folder")


def shown(name: str | Path) -> str:
    """Return a name as it can be printed and put into JSON: where it is no UTF-8, a byte is written as `\\xe9`."""
    return os.fsencode(name).decode(errors="backslashreplace")


@contextmanager
def opened(source: Source, *, limit_mb: int) -> Iterator[BinaryIO]:
    """Open a recording; what is no file is first copied to an unnamed one.

    Raises:
        FileTooLargeError: A pipe or a download brings more than `limit_mb`.
        AudioRejectedError: The download failed.
        OSError: The file cannot be read.
    """
    if source.path and source.is_file:
        with source.path.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as copy:
        for piece in _pieces(source):
            if copy.tell() + len(piece) > limit_mb * _MEGABYTE:
                raise FileTooLargeError(limit_mb=limit_mb)
            copy.write(piece)
        copy.seek(0)
        yield copy


def _pieces(source: Source) -> Iterator[bytes]:
    if source.url:
        yield from _downloaded(source.url)
    elif source.path:
        with source.path.open("rb") as pipe:
            yield from iter(lambda: pipe.read(_STEP_BYTES), b"")
    else:
        yield from iter(lambda: sys.stdin.buffer.read(_STEP_BYTES), b"")


def _downloaded(url: str) -> Iterator[bytes]:
    import httpx

    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer:
            if not answer.is_success:
                raise AudioRejectedError(f"the download failed: status {answer.status_code} {answer.reason_phrase}".rstrip())
            yield from answer.iter_bytes(_STEP_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise AudioRejectedError(f"the download failed: {fault}") from fault
