"""`parakeet-stt listen`: live captions from a microphone, a file or a pipe, by a model of our own or a running service."""

import asyncio
import signal
import sys
from contextlib import aclosing, closing

import msgspec

from ...container import embedded
from ...domain.errors import InvalidRequestError, SpeechError
from ...settings import Settings
from ..http.parameters import checked_keywords
from ..logs import configure_command_logs
from ..websocket.plain_messages import Asked, Text, UtteranceError
from .captions import Captions, captions_of, told_failure
from .capture import Capture, capture_of
from .live import Way, way_of
from .sources import UsageError
from .transcribe import INTERRUPTED


class ListenArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says, beside the settings."""

    input: str | None
    microphone: str | None
    rate: int
    format: str
    words: bool
    keywords: str
    server: str | None
    api_key: str | None


def listen(arguments: ListenArguments, settings: Settings) -> int:
    """Run the command: 0 when the sound has ended, or Ctrl-C ended it, and all was told; 1 if something failed, 2 for a wrong call.

    The first Ctrl-C ends the sound, and what was said until then is still told; the second gives that up: 130.
    """
    try:
        keywords = checked_keywords(arguments.keywords.split(","), name="--keywords", field="keywords")
        capture = capture_of(
            arguments.input, microphone=arguments.microphone, rate_hz=arguments.rate,
            normalizer=embedded(settings).normalizer, max_s=settings.max_audio_s,
        )  # fmt: skip
        configure_command_logs(settings)
        if not arguments.server:
            _say("loading the model")
        way = way_of(settings, server=arguments.server, api_key=arguments.api_key)
        asked = Asked(sample_rate=capture.rate_hz, partials=True, words=arguments.words, keywords=keywords)
        with closing(way), closing(captions_of(arguments.format)) as captions:
            return asyncio.run(_heard(way, asked, capture, captions))
    except (UsageError, InvalidRequestError) as fault:
        print(f"parakeet-stt: {fault}", file=sys.stderr)
        return 2
    except SpeechError as fault:
        print(f"parakeet-stt: {fault}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return INTERRUPTED


async def _heard(way: Way, asked: Asked, capture: Capture, captions: Captions) -> int:
    """Hear all there is; 1 if an utterance has no text."""
    n_failed = 0

    def tell(message: Text | UtteranceError) -> None:
        nonlocal n_failed
        if isinstance(message, Text):
            captions.show(message)
        else:
            n_failed += 1
            told_failure(message)

    _obey(capture)
    async with way.session(asked, tell) as session, aclosing(capture.pieces()) as pieces:
        _say(f"listening to {capture.name}; Ctrl-C ends")
        async for piece in pieces:
            await session.push(piece)
        await session.finish()
    return 1 if n_failed else 0


def _obey(capture: Capture) -> None:
    """Have the first Ctrl-C (or SIGTERM) end the sound, and the next one everything."""
    loop, everything, stopping = asyncio.get_running_loop(), asyncio.current_task(), False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            capture.stop()
        elif everything:
            everything.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _say(line: str) -> None:
    """Tell whoever sits at a terminal what goes on."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)
