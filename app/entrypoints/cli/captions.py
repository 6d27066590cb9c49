"""What `listen` shows: lines that grow on a terminal, whole lines elsewhere, JSON for machines."""

import sys
from typing import Protocol

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text as Line

from ..websocket.plain_messages import Text, UtteranceError
from .progress import clock


class Captions(Protocol):
    """Shows what is heard; opened and closed as a context manager is."""

    def show(self, text: Text) -> None: ...
    def close(self) -> None: ...


class OnTerminal:
    """What is stable is plain, what may still change is dim; once final it is a line with its time."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, text: Text) -> None:
        if text.final:
            self._live.update(Line(), refresh=True)
            if text.text:
                self._live.console.print(_line(text, text.text, ""))
        else:
            self._live.update(_line(text, text.stable or "", text.tentative or ""), refresh=True)

    def close(self) -> None:
        self._live.stop()


class AsLines:
    """Whole utterances, each with its time."""

    def show(self, text: Text) -> None:
        if text.final and text.text:
            print(_line(text, text.text, "").plain, flush=True)

    def close(self) -> None: ...


class AsJson:
    """Every message as `/ws` sends it, partial ones too."""

    def show(self, text: Text) -> None:
        print(msgspec.json.encode(text).decode(), flush=True)

    def close(self) -> None: ...


def captions_of(answer_format: str) -> Captions:
    """Return what suits the format and the standard output of this program."""
    if answer_format == "json":
        return AsJson()
    return OnTerminal(Console(highlight=False)) if sys.stdout.isatty() else AsLines()


def told_failure(message: UtteranceError) -> None:
    """Say on standard error that an utterance has no text."""
    print(f"failed: utterance {message.utterance}: {message.error.message}", file=sys.stderr)


def _line(text: Text, stable: str, tentative: str) -> Line:
    return Line.assemble((f"[{clock(text.start)}] ", "cyan"), stable, (tentative, "dim"))
