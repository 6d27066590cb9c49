"""Whether the service takes work: one answer for `/readyz` and for the metric."""

from collections.abc import Callable
from typing import Final

from ..domain.engine import Engine
from ..domain.errors import OverloadedError, SpeechError
from ..domain.ports import Recognizer
from .drain import Drain, going_down

_RETRY_S: Final = 5


class ReadyCheck:
    """Asks everything that a request for a file needs."""

    def __init__(self, engine: Engine, drain: Drain, *, decodes: Callable[[], bool]) -> None:
        """Keep whom to ask; `decodes`, whether files can be decoded, is asked once the model is loaded."""
        self._engine, self._drain, self._decodes = engine, drain, decodes

    def recognizer(self) -> Recognizer:
        """Return the loaded recogniser, to be asked for facts only.

        Raises:
            GoingDownError: The service goes down.
            ModelNotReadyError: The model is still loading, has failed, or is where it cannot be reached at the moment.
            OverloadedError: No file can be decoded.
        """
        if self._drain.begun:
            raise going_down()
        self._engine.check_ready()
        recognizer = self._engine.recognizer()
        if not self._decodes():
            raise OverloadedError("no process that decodes files can be started; the log tells why", retry_after_s=_RETRY_S)
        return recognizer

    def __bool__(self) -> bool:
        try:
            self.recognizer()
        except SpeechError:
            return False
        return True
