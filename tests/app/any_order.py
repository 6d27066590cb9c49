"""Clients that say anything in any order, and leave at any moment: what the tests of both live protocols share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import WebSocketTestSession
from structlog.testing import capture_logs

from app.settings import Settings
from app.testing.recognizers import FakeRecognizer
from tests.profiles import examples

from .live import Message, numbers_of, shorts, wait_until
from .realtime import quiet
from .service import PATIENCE_S, TEXT, Client, serving, tone

MOST_OPEN: Final = 3  # sockets at a time
_LOUD: Final = 3.2  # times a tone: the recogniser fails on it
_NOTHING_LEFT: Final = {"stt_live_sessions": 0, "stt_queue_items": 0}


def sounds() -> st.SearchStrategy[bytes]:
    """Sound of a second at most that is speech, silence, or what the recogniser fails on; or any bytes. Samples may be cut."""
    spoken = st.builds(
        lambda samples, n_missing: shorts(samples)[: -n_missing or None],
        st.sampled_from([quiet(0.05), quiet(0.3), quiet(1.0), tone(0.05), tone(0.4), tone(1.0), np.float32(_LOUD) * tone(0.5)]),
        st.sampled_from([0, 0, 1]),
    )
    return spoken | spoken | st.binary(max_size=40)


def anything(names: Sequence[str], words: Sequence[str]) -> st.SearchStrategy[Any]:
    """Return any JSON, made with the protocol's own names and words as well as with others."""
    plain = (
        st.sampled_from(words)
        | st.none()
        | st.booleans()
        | st.integers(-(10**6), 10**6)
        | st.floats(allow_nan=False, allow_infinity=False)
    )
    plain |= st.text(max_size=10)
    keys = st.sampled_from(names) | st.text(max_size=5)
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=6)


class Socket(ABC):
    """One client's socket."""

    def __init__(self, client: Client, path: str) -> None:
        self._session: WebSocketTestSession = client.websocket_connect(path).__enter__()

    def say(self, message: str | bytes) -> None:
        self._session.send(message, mode="text" if isinstance(message, str) else "binary")

    def next(self) -> Message | WebSocketDisconnect:
        """Return what the service sends next, its close included."""
        try:
            message: Message = self._session.receive_json(timeout=PATIENCE_S)
        except WebSocketDisconnect as closed:
            return closed
        return message

    @abstractmethod
    def end(self) -> None:
        """Finish, and check all that was told."""

    def leave(self) -> None:
        """Go, whatever is under way."""
        self._session.__exit__(None, None, None)


class AnyOrder(RuleBasedStateMachine):
    """Clients of one service. When all are gone, nothing of them is left there, and nothing has failed."""

    client: ClassVar[Client]
    n_made: ClassVar = 0  # of all machines of this class
    talks: Any = Bundle("talks")  # sockets that are open

    def __init__(self) -> None:
        super().__init__()
        type(self).n_made += 1
        self.sockets: list[Socket] = []
        self._n_tasks = self._tasks()
        self._capturing = capture_logs()
        self._logs = self._capturing.__enter__()

    @rule(talk=consumes(talks))
    def leave(self, talk: Socket) -> None:
        self.sockets.remove(talk)
        talk.leave()

    @rule(talk=consumes(talks))
    def finish(self, talk: Socket) -> None:
        self.sockets.remove(talk)
        try:
            talk.end()
        finally:
            talk.leave()

    def _tasks(self) -> int:
        return self.client.blocking_portal.call(lambda: len(asyncio.all_tasks()))

    def teardown(self) -> None:
        for socket in self.sockets:
            socket.leave()
        try:
            wait_until(lambda: numbers_of(self.client) == _NOTHING_LEFT)
            wait_until(lambda: self._tasks() == self._n_tasks)
        finally:
            self._capturing.__exit__(None, None, None)
        failed = [
            event for event in self._logs if event["event"] == "live_session_failed" or event.get("outcome") == "internal_error"
        ]
        assert not failed


def hold(machine: type[AnyOrder], caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]) -> list[str]:
    """Let clients talk in many ways; how many it were is in the report. Return what failed without anybody looking."""
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.samples.max() > 0.7)
    with serving(Settings(), recognizer=recognizer) as (client, _):
        machine.client = client
        run_state_machine_as_test(machine, settings=settings(max_examples=examples(8), stateful_step_count=20))
    record_property("examples", machine.n_made)
    return [record.getMessage() for record in caplog.records if record.name == "asyncio"]
