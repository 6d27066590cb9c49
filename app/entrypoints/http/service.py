"""What controllers share: the settings, the model's names, and how a form becomes a transcript."""

from contextlib import aclosing

import msgspec
import structlog

from ...domain.engine import Engine
from ...domain.errors import UnknownModelError
from ...domain.ports import Options
from ...domain.transcriber import Transcriber
from ...domain.transcript import Transcript, join
from ...settings import Settings
from ..bridge import Bridge
from .form import Form


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A file's whole transcript and how long the file was, in seconds."""

    transcript: Transcript
    duration_s: float


def served_names(engine: Engine, settings: Settings) -> tuple[str, ...]:
    """Return every name the loaded model answers to: its id, its id without the owner, then the aliases.

    Raises:
        ModelNotReadyError: No model is loaded.
    """
    model_id = engine.recognizer().facts.model_id
    return tuple(dict.fromkeys((model_id, model_id.rpartition("/")[2], *settings.model_aliases)))


def check_model(asked: str | None, engine: Engine, settings: Settings) -> None:
    """Raise `UnknownModelError` if a client asked for another model; no or an empty name is fine."""
    served = served_names(engine, settings)
    if asked and asked not in served:
        raise UnknownModelError(asked=asked[:100], served=served)


async def heard(form: Form, transcriber: Transcriber, bridge: Bridge) -> Heard:
    """Transcribe the form's file to its end."""
    upload = form.upload
    async with aclosing(bridge.pull(lambda cancel: transcriber.transcribe(upload, Options(), cancel=cancel))) as pulled:
        parts = [part async for part in pulled]
    last = parts[-1]
    structlog.contextvars.bind_contextvars(audio_s=round(last.heard_s, 3), truncated=last.truncated)
    return Heard(transcript=join([part.transcript for part in parts]), duration_s=last.heard_s)
