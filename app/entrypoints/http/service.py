"""What controllers share: the model's names, and how an upload becomes a transcript."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import BinaryIO

from ...domain.cancel import CancelToken
from ...domain.engine import Engine
from ...domain.errors import UnknownModelError
from ...domain.transcriber import FileOptions, Part, Transcriber
from ...settings import Settings
from ..bridge import Bridge
from ..rates import Meter
from .bodies import Heard
from .form import Form
from .requests import note, note_heard, note_stages


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


async def parts_of(
    upload: BinaryIO, options: FileOptions, transcriber: Transcriber, bridge: Bridge, meter: Meter
) -> AsyncGenerator[Part, None]:
    """Yield the parts of an upload's transcript as they are ready; the upload is closed at the end, however it comes.

    Whatever was decoded is counted, also where the file was refused or the client left.
    """
    decoded_s: list[float] = []  # a worker's thread fills it, in steps; between them it is read here

    def count() -> None:
        meter.count_audio(sum(decoded_s))
        decoded_s.clear()

    def start(cancel: CancelToken) -> Generator[Part, None, None]:
        return transcriber.transcribe(upload, options, cancel=cancel, on_heard=decoded_s.append)

    with upload:
        try:
            async with aclosing(bridge.pull(start)) as pulled:
                async for part in pulled:
                    count()
                    note_stages(part.stages)
                    if part.last:
                        note(audio_s=round(part.heard_s, 3), truncated=part.truncated)
                        note_heard()
                    yield part
        finally:
            count()


async def heard(form: Form, options: FileOptions, transcriber: Transcriber, bridge: Bridge, meter: Meter) -> Heard:
    """Transcribe the form's file to its end."""
    whole = Heard()
    async with aclosing(parts_of(form.take_upload(), options, transcriber, bridge, meter)) as parts:
        async for part in parts:
            whole.add(part)
    return whole
