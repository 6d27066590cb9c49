"""Where `transcribe` writes: a name for every recording and format, each file whole or not there."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..http.parameters import Format
from .sources import Source, UsageError

ENDINGS: Final[Mapping[Format, str]] = {
    "text": ".txt",
    "json": ".json",
    "srt": ".srt",
    "vtt": ".vtt",
    "verbose_json": ".verbose.json",
}
Targets = dict[Format, Path]


def targets_of(sources: Sequence[Source], formats: Sequence[Format], folder: Path) -> list[Targets]:
    """Name the files of each recording: its own place and name under `folder`, with the ending of the format.

    Where two differ in their ending alone (`a.wav`, `a.mp3`), theirs stay in the name.

    Raises:
        UsageError: Two recordings would be written to one file.
    """
    alike = Counter(source.relative.with_suffix("") for source in sources)
    stems = [one.relative if alike[one.relative.with_suffix("")] > 1 else one.relative.with_suffix("") for one in sources]
    twice = [str(stem) for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise UsageError(f"several recordings would be written as {twice[0]}: give the folder that holds them, or run them apart")
    return [{one: folder / stem.with_name(stem.name + ENDINGS[one]) for one in formats} for stem in stems]


def check_folder(folder: Path) -> None:
    """Make the folder where it is not there.

    Raises:
        UsageError: Nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise UsageError(f"{folder}: nothing can be written there: {fault.strerror}") from fault
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: nothing can be written there")


def is_done(source: Source, targets: Targets) -> bool:
    """Tell whether an earlier run has written everything, after the recording was last changed; a pipe is always new."""
    if not (source.is_file or source.url) or not all(path.is_file() for path in targets.values()):
        return False
    oldest = min(path.stat().st_mtime_ns for path in targets.values())
    return source.path is None or oldest >= source.path.stat().st_mtime_ns


def write_whole(path: Path, content: bytes) -> None:
    """Write under another name, and give the file its own when it is whole: whoever breaks off leaves no half of it there.

    What is no file, such as /dev/stdout, is written to its end and not replaced; what is linked to is replaced, not the link.

    Raises:
        OSError: It cannot be written.
    """
    if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
        with path.open("ab") as device:
            device.write(content)
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    try:
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
