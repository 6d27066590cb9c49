"""Runs live sessions: sound on worker threads, clips through the engine, events to whoever speaks the protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from ...domain.engine import Engine
from ...domain.errors import CancelledError, OverloadedError, SpeechError
from ...domain.live import LiveSession
from ...domain.live_events import Event, Request, Step
from ...domain.live_rules import LiveRules, Sound
from ...domain.pcm import Encoding
from ...domain.ports import AudioNormalizer, VoiceDetector
from ...domain.queue import Answer
from ...domain.stages import Stages, with_clip
from ..http.requests import note_stages
from ..rates import UNLIMITED, Meter
from .worker import Worker

Emit = Callable[[Event], Awaitable[None]]
Beside = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]

_PIECE_BYTES: Final = 16 * 1024  # of a longer message at a time: 0.5 s of 16-bit sound at 16 kHz, then others have their turn
_AHEAD_S: Final = 10.0  # how far a session's sound may be ahead of the clock; chosen: room for what was kept while connecting
_AHEAD_BACKLOG_S: Final = 60.0  # what it may leave waiting for the model when it is; chosen: some batches
_RETRY_S: Final = 5  # what a client that finds no place is told to wait


async def _alone(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


class Watch(Protocol):
    """Times one session."""

    def heard(self, heard_s: float, now_s: float) -> None:
        """Note that all sound up to `heard_s` has arrived by now."""

    def told(self, event: Event, now_s: float) -> None:
        """Note an event that the client is about to be told."""


class _Nobody:
    def heard(self, heard_s: float, now_s: float) -> None: ...

    def told(self, event: Event, now_s: float) -> None: ...


class LiveHost:
    """Every live session of the process."""

    def __init__(
        self,
        engine: Engine,
        detector: Callable[[], VoiceDetector],
        normalizer: Callable[[], AudioNormalizer],
        *,
        max_sessions: int,
        max_backlog_s: float,
        watch: Callable[[], Watch] = _Nobody,
    ) -> None:
        """Prepare; `detector` and `normalizer` are asked for once the engine has loaded them, `watch` for what times a session."""
        self._engine, self._detector, self._normalizer = engine, detector, normalizer
        self._max_sessions, self._max_backlog_s = max_sessions, max_backlog_s
        self._watch = watch
        self._worker = Worker()
        self._n_open = 0

    @property
    def n_open(self) -> int:
        """Sessions that are open."""
        return self._n_open

    @asynccontextmanager
    async def session(
        self, encoding: Encoding, rate_hz: int, rules: LiveRules, emit: Emit, meter: Meter = UNLIMITED, *, beside: Beside = _alone
    ) -> AsyncIterator["LiveConnection"]:
        """Open a session for as long as the context lasts; whatever it still has in the queue is withdrawn at its end.

        Args:
            emit: Told every event, one after the other, in order. While it waits the session takes no more sound.
            meter: Counts the sound.
            beside: Waits for what it is given, unless the client leaves: around what holds a recording back.

        Raises:
            ModelNotReadyError: The model is not loaded, or has failed.
            OverloadedError: As many sessions as are allowed are open.
            ValueError: The rate is outside what the resampler takes.
        """
        facts = self._engine.recognizer().facts
        if self._n_open >= self._max_sessions:
            raise OverloadedError(f"all {self._max_sessions} live sessions are taken; try again later", retry_after_s=_RETRY_S)
        self._n_open += 1
        try:
            sound = await self._sound(encoding, rate_hz)
            session = LiveSession(self._detector(), sound, rules, longest_clip_s=facts.longest_clip_s)
            connection = LiveConnection(
                session,
                self._engine,
                self._worker,
                emit,
                self._sound,
                beside=beside,
                watch=self._watch(),
                meter=meter,
                max_backlog_s=self._max_backlog_s,
            )
            try:
                with self._engine.live_session():
                    yield connection
            finally:
                await connection.close()
                note_stages(connection.stages)
        finally:
            self._n_open -= 1

    def close(self) -> None:
        """Let the thread end."""
        self._worker.close()

    async def _sound(self, encoding: Encoding, rate_hz: int) -> Sound:
        open_resampler = self._normalizer().open_resampler  # the filter of an odd rate takes 50 ms to make, the event loop has none
        return Sound(encoding=encoding, resampler=await asyncio.to_thread(open_resampler, source_rate_hz=rate_hz))


class LiveConnection:
    """One session between a protocol and the engine. Its calls may come from several tasks; they take turns.

    A call that is cancelled while it has its turn ends the session: all further ones raise CancelledError.
    """

    def __init__(
        self,
        session: LiveSession,
        engine: Engine,
        worker: Worker,
        emit: Emit,
        sound: Callable[[Encoding, int], Awaitable[Sound]],
        *,
        beside: Beside,
        watch: Watch,
        meter: Meter,
        max_backlog_s: float,
    ) -> None:
        self._session, self._engine, self._worker, self._emit, self._sound = session, engine, worker, emit, sound
        self._beside, self._meter, self._max_backlog_s = beside, meter, max_backlog_s
        self._watch, self._arrived_s, self._opened_s = watch, 0.0, monotonic()
        self._turn = asyncio.Lock()
        self._answers: dict[int, Answer] = {}
        self._stages = Stages()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None  # of a task that nobody waits for; the next call raises it

    @property
    def heard_s(self) -> float:
        """How much sound came in, in seconds."""
        return self._session.heard_s

    @property
    def stages(self) -> Stages:
        """What the clips that were answered have taken so far."""
        return self._stages

    async def push(self, data: bytes) -> None:
        """Take the next bytes of sound, of any number.

        Raises:
            OverloadedError: More sound waits to be recognised than one session may leave waiting; the session cannot go on.
            RateLimitedError: The client has sent more than it may in a minute; nothing was taken.
        """
        self._meter.check_audio()
        self._arrived_s = monotonic()
        for at in range(0, len(data), _PIECE_BYTES):
            heard_s = self.heard_s
            await self._call(partial(self._session.push, data[at : at + _PIECE_BYTES]), on_worker=True)
            self._meter.count_audio(self.heard_s - heard_s)
            while self._is_ahead and self._tasks and self._session.backlog_s > _AHEAD_BACKLOG_S:
                await self._beside(asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED))
        if self._session.backlog_s > self._max_backlog_s:
            told = f"more than {self._max_backlog_s:g} s of this session's audio wait to be recognised"
            raise OverloadedError(told, retry_after_s=_RETRY_S)

    async def commit(self) -> None:
        """End the present utterance now.

        Raises:
            EmptyBufferError: There is next to no sound since the last one.
        """
        await self._call(self._session.commit)

    async def clear(self) -> None:
        """Forget the sound that belongs to no utterance that is over."""
        await self._call(self._session.clear)

    async def configure(self, rules: LiveRules) -> None:
        """Hear on by other rules."""
        await self._call(partial(self._session.configure, rules), on_worker=True)

    async def listen_to(self, encoding: Encoding, rate_hz: int) -> None:
        """Take the next bytes for another kind of sound.

        Raises:
            ValueError: The rate is outside what the resampler takes.
        """
        sound = await self._sound(encoding, rate_hz)
        async with self._turn:
            self._session.listen_to(sound)

    async def finish(self) -> None:
        """End the sound, and wait until every utterance is answered and told."""
        await self._call(self._session.finish, on_worker=True)
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._fault:
            raise self._fault

    async def close(self) -> None:
        """Withdraw what is left; nobody is told anything any more."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for answer in self._answers.values():
            answer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _is_ahead(self) -> bool:
        """Whether sound comes faster than anybody speaks: a recording. It is served like a file, after those who are live."""
        return self._session.heard_s - (monotonic() - self._opened_s) > _AHEAD_S

    async def _call(self, call: Callable[..., Step], *, on_worker: bool = False) -> None:
        async with self._turn:
            if self._fault:
                raise self._fault
            due = partial(call, now_s=monotonic())
            try:
                step = await asyncio.wrap_future(self._worker.submit(due, can_wait=self._is_ahead)) if on_worker else due()
                await self._do(step)
            except asyncio.CancelledError:
                self._fault = self._fault or CancelledError("a call was cancelled, and what it heard is lost; open another session")
                raise

    async def _do(self, step: Step) -> None:
        self._watch.heard(self._session.heard_s, self._arrived_s)
        for ticket in step.withdrawn:
            if answer := self._answers.get(ticket):
                answer.cancel()
        for request in step.requests:
            self._answers[request.ticket] = self._submitted(request)  # now: the next step may withdraw it
            task = asyncio.create_task(self._answer(request.ticket))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        for event in step.events:
            self._watch.told(event, monotonic())
            await self._emit(event)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self._fault = self._fault or fault

    def _submitted(self, request: Request) -> Answer:
        live = not self._is_ahead
        try:
            return self._engine.submit(request.clip, request.options, live=live, tentative=request.tentative, admitted=not live)
        except SpeechError as failure:
            refused = Answer()
            refused.set_exception(failure)
            return refused

    async def _answer(self, ticket: int) -> None:
        answer = self._answers[ticket]
        try:
            transcript = await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            return  # withdrawn, or the session is over
        except SpeechError as failure:
            await self._call(partial(self._session.failed, ticket, failure))
        else:
            self._stages = with_clip(self._stages, answer.ran) if answer.ran else self._stages
            await self._call(partial(self._session.answered, ticket, transcript))
        finally:
            self._answers.pop(ticket, None)
