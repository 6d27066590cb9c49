"""How whoever asked says that nobody waits any more."""

from collections.abc import Callable

from .errors import CancelledError


class CancelToken:
    """Set once, from any thread; what was registered is called then, or at once if it already is set."""

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: list[Callable[[], object]] = []

    def cancel(self) -> None:
        """Say that nobody waits. A callback may be called twice, so it must bear that."""
        self._cancelled = True
        for callback in tuple(self._callbacks):
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Have `callback` called on cancellation, by the thread that cancels."""
        self._callbacks.append(callback)
        if self._cancelled:
            callback()

    def forget(self, callback: Callable[[], object]) -> None:
        """Take back what was given to `on_cancel`: what is done needs no cancelling, and is not kept alive for it."""
        self._callbacks.remove(callback)

    def check(self) -> None:
        """Raise `CancelledError` if nobody waits any more."""
        if self._cancelled:
            raise CancelledError("the request was cancelled")
