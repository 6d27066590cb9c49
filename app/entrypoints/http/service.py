"""What controllers share: the model's names, and how an upload becomes a transcript."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import BinaryIO

from ...domain.engine import Engine
from ...domain.errors import UnknownModelError
from ...domain.transcriber import FileOptions, Part, Transcriber
from ...settings import Settings
from ..bridge import Bridge
from .bodies import Heard
from .form import Form
from .requests import note


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


async def parts_of(upload: BinaryIO, options: FileOptions, transcriber: Transcriber, bridge: Bridge) -> AsyncGenerator[Part, None]:
    """Yield the parts of an upload's transcript as they are ready; the upload is closed at the end, however it comes."""
    with upload:
        async with aclosing(bridge.pull(lambda cancel: transcriber.transcribe(upload, options, cancel=cancel))) as pulled:
            async for part in pulled:
                if part.last:
                    note(audio_s=round(part.heard_s, 3), truncated=part.truncated)
                yield part


async def heard(form: Form, options: FileOptions, transcriber: Transcriber, bridge: Bridge) -> Heard:
    """Transcribe the form's file to its end."""
    whole = Heard()
    async with aclosing(parts_of(form.take_upload(), options, transcriber, bridge)) as parts:
        async for part in parts:
            whole.add(part)
    return whole
