"""The way in for a Python service that wants a model of its own in its process: files and live sound, without HTTP."""

import logging
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import structlog

from ..container import Container, embedded
from ..domain.cancel import CancelToken
from ..domain.live_rules import LiveRules
from ..domain.pcm import Encoding
from ..domain.ports import RecognizerFacts
from ..domain.transcriber import FileOptions, Part, Transcriber
from ..domain.transcript import Transcript, join
from ..settings import Settings
from .websocket.host import Emit, LiveConnection, LiveHost


class SpeechToText:
    """A loaded model, and the two things to do with it. Any number of threads and tasks may use it at once.

    It is a context manager; `close` frees its threads, the memory of the model goes with the object.
    """

    def __init__(self, container: Container) -> None:
        """Load all parts; `load` is the usual way to have one."""
        settings: Settings = container.settings()
        self._parts, self._engine = container.parts(), container.engine()
        self._engine.start()
        self._facts = self._engine.loaded.result().facts
        self._transcriber = container.transcriber()
        self._live = LiveHost(
            self._engine,
            container.detector,
            container.normalizer,
            max_sessions=settings.max_live_sessions,
            max_backlog_s=settings.live_backlog_s,
        )

    @property
    def facts(self) -> RecognizerFacts:
        """What the model says of itself: its id, its languages, where it runs and how precisely."""
        return self._facts

    @property
    def transcriber(self) -> Transcriber:
        """The use case itself, for who brings a file part by part or on a thread of their own."""
        return self._transcriber

    def transcribe(
        self, file: BinaryIO | Path | str, options: FileOptions | None = None, *, cancel: CancelToken | None = None
    ) -> Generator[Part, None, None]:
        """Yield the parts of a file's transcript as they are ready, in order; the last says so and tells the file's length.

        Blocks, so an event loop calls it on a thread. Files of several threads go through the model together.

        Args:
            file: A path, or an open binary file that can seek; wav, flac, mp3, ogg, mp4, webm, aac or aiff, known by content.
            cancel: Once set, from any thread, the rest is withdrawn.

        Raises:
            AudioRejectedError: Nothing decodable, too short or too long.
            UnavailableError: More waits than the settings allow.
            RecognitionError: The recogniser failed on a part.
            CancelledError: `cancel` was set.
            OSError: The path cannot be opened.
        """
        token = cancel or CancelToken()
        if isinstance(file, str | Path):
            with Path(file).open("rb") as opened:
                yield from self._transcriber.transcribe(opened, options or FileOptions(), cancel=token)
        else:
            yield from self._transcriber.transcribe(file, options or FileOptions(), cancel=token)

    def hear(self, file: BinaryIO | Path | str, options: FileOptions | None = None) -> Transcript:
        """Return the transcript of a whole file; raises what `transcribe` does."""
        return join([part.transcript for part in self.transcribe(file, options)])

    def live(
        self, emit: Emit, rules: LiveRules | None = None, *, encoding: Encoding = "pcm_s16le", rate_hz: int = 16_000
    ) -> AbstractAsyncContextManager[LiveConnection]:
        """Open a live session for as long as the context lasts: `push` sound, `commit`, `clear`, and `finish` at its end.

        Args:
            emit: Awaited with every event, one after the other: `Started`, `Partial`, `Final` and the others of `Event`.
            rules: Where utterances end, and whether partials are told.
            encoding: Of the sound that will be pushed, one channel, in pieces of any length.
            rate_hz: Of that sound, 8,000 to 192,000.

        Raises:
            OverloadedError: On entering: as many sessions as the settings allow are open.
            ValueError: On entering: there is no such rate.
        """
        return self._live.session(encoding, rate_hz, rules or LiveRules(), emit)

    def close(self) -> None:
        """Finish what is queued and let the threads end."""
        self._live.close()
        self._engine.close()
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def load(settings: Settings | None = None) -> SpeechToText:
    """Load a model in this process; takes as long as that takes.

    Args:
        settings: Those of the service; what concerns its address and clients means nothing here. None: the defaults.

    Raises:
        ModelUnavailableError: The model, the device or the precision cannot be had.
    """
    use_logging()
    return SpeechToText(embedded(settings or Settings()))


def use_logging() -> None:
    """Send events to the module `logging`, unless whoever embeds us has set structlog up: it would print them otherwise."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
