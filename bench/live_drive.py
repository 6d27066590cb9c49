"""Drives a live session in this process, faster than real time: its clock is the sound itself."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from app.domain.engine import Engine
from app.domain.live import LiveSession
from app.domain.live_events import Event, Final, Request, Step
from app.domain.transcript import Transcript

Recognise = Callable[[Request], "Future[Transcript]"]


def by_engine(engine: Engine) -> Recognise:
    """Ask as the service does."""
    return lambda request: engine.submit(request.clip, request.options, live=True, tentative=request.tentative)


def finals_of(session: LiveSession, pieces: Iterable[bytes], recognise: Recognise, *, latency_s: float) -> list[Final]:
    """Push every piece, then finish; returns the finals in the order they were told.

    Args:
        latency_s: Of sound, that passes from a request until its answer is taken.
    """
    return [final for _, final in timed_finals_of(session, pieces, recognise, latency_s=latency_s)]


def timed_finals_of(
    session: LiveSession, pieces: Iterable[bytes], recognise: Recognise, *, latency_s: float
) -> list[tuple[float, Final]]:
    """Do the same; each final comes with how many seconds of sound had been pushed when it was told."""
    driver = _Driver(session, recognise, latency_s)
    for piece in pieces:
        driver.push(piece)
    driver.finish()
    return [(heard_s, event) for heard_s, event in driver.events if isinstance(event, Final)]


class _Driver:
    def __init__(self, session: LiveSession, recognise: Recognise, latency_s: float) -> None:
        self._session, self._recognise, self._latency_s = session, recognise, latency_s
        self._asked: dict[int, tuple[float, Future[Transcript]]] = {}  # by ticket, in the order they were asked
        self.events: list[tuple[float, Event]] = []

    def push(self, piece: bytes) -> None:
        now_s = self._session.heard_s
        self._take_answers(now_s)
        self._do(self._session.push(piece, now_s=now_s), now_s)

    def finish(self) -> None:
        now_s = self._session.heard_s
        self._do(self._session.finish(now_s=now_s), now_s)
        self._take_answers(math.inf)

    def _take_answers(self, now_s: float) -> None:
        while self._asked:
            ticket, (due_s, answer) = next(iter(self._asked.items()))
            if due_s > now_s:
                return
            del self._asked[ticket]
            self._do(self._session.answered(ticket, answer.result(), now_s=due_s), due_s)

    def _do(self, step: Step, now_s: float) -> None:
        for ticket in step.withdrawn:
            if withdrawn := self._asked.pop(ticket, None):
                withdrawn[1].cancel()
        for request in step.requests:
            self._asked[request.ticket] = (now_s + self._latency_s, self._recognise(request))
        self.events += [(self._session.heard_s, event) for event in step.events]
