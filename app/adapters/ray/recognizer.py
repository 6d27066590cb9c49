"""A `Recognizer` whose model is in replicas on other machines: one batch for each, tried elsewhere where one is lost."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import msgspec

from ...domain.audio import Clip
from ...domain.errors import ModelNotReadyError
from ...domain.ports import DeviceMemory, Options, RecognizerFacts, ReplicaNumbers
from ...domain.transcript import Transcript
from .cluster import Cluster, TransportError
from .replica import PACKAGE_VERSION
from .wire import Failed, Heard, Introduction, Lost, OtherVersion, Outcome, Request

MOST_TRIES: Final = 3  # of a batch that a replica was lost with: what ends its process must not end all of them
_LOOK_S: Final = 1.0  # between two looks at how the replicas fare
_PAUSE_S: Final = 0.2  # before a batch is tried again; after the second loss twice as long
_KEPT: Final = 2  # times as many replicas as there are, whose numbers are remembered: they come and go without end
_JOIN_S: Final = 5.0  # for a look that is under way
_RETRY_S: Final = 5  # what a client is told to wait where no replica can serve


class ReplicaFailureError(Exception):
    """The recogniser in a replica failed on a batch; the text has its traceback."""


class RayRecognizer:
    """Hands batches to replicas. Calls of `recognize` on as many threads as there are replicas keep all of them busy."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        replicas: int,
        patience_s: float,
        waiting_s: Callable[[], float] = lambda: 0.0,
        on_progress: Callable[..., None] = lambda _event, **_facts: None,
        on_trouble: Callable[..., None] = lambda _event, **_facts: None,
        look_s: float = _LOOK_S,
    ) -> None:
        """Join the cluster, and wait for as long as it takes until a replica of this version runs.

        Args:
            replicas: How many batches to have under way at a time.
            patience_s: How long, in seconds, batches wait from when no replica could take any, and for how long nothing heard of
                the cluster is no reason to worry.
            waiting_s: Seconds of audio that wait in this process, which the cluster is told.
            on_progress: Told once replicas are found.
            on_trouble: Told what is waited for, each time that it changes, and what becomes of batches that are lost.
            look_s: Seconds between two looks at the cluster.
        """
        self._cluster, self._patience_s, self._look_s = cluster, patience_s, look_s
        self._service, self._waiting_s, self._under_way_s = uuid4().hex, waiting_s, 0.0
        self._on_progress, self._on_trouble = on_progress, on_trouble
        self._closed = threading.Event()
        introduction = self._introduced()
        self._version, self._configuration = introduction.version, introduction.configuration
        self._facts = msgspec.structs.replace(
            introduction.facts,
            max_concurrent_batches=replicas,
            prepares_ahead=False,
            device=f"ray: {introduction.facts.device}",
        )
        self._n_running = 1
        self._known_s = self._could_s = monotonic()  # when something was last heard of the replicas, and when any last ran
        self._look()
        self._numbers: dict[str, ReplicaNumbers] = {}  # the one that was heard of last is the last
        self._counting = threading.Lock()
        self._watching = threading.Thread(target=self._watch, name="replicas", daemon=True)
        self._watching.start()

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        return self._configuration

    def device_memory(self) -> DeviceMemory | None:
        return None

    def check_reachable(self) -> None:
        if self._closed.is_set() or not self._can_serve():
            raise ModelNotReadyError("no replica of the model can be reached at the moment", retry_after_s=_RETRY_S)

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        audio_s = sum(clip.duration_s for clip in clips)
        with self._counting:
            self._under_way_s += audio_s
        try:
            return self._recognized(clips, options)
        finally:
            with self._counting:
                self._under_way_s -= audio_s

    def _recognized(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        request = Request(version=self._version, options=options)
        since_s, n_lost, samples, told = monotonic(), 0, None, ""
        while n_lost < MOST_TRIES:
            try:
                samples = samples or self._cluster.put([clip.samples for clip in clips])
                outcome: Outcome = self._cluster.recognize(samples, request, worth_it=self._worth_it)
            except TransportError as failure:
                outcome, samples = Lost(replica="", told=str(failure)), None  # put anew: it may be the samples that are lost
            except TimeoutError:
                self._on_trouble("batch_given_up", reason="no replica came to take it", clips=len(clips))
                raise self._nobody() from None
            match outcome:
                case Heard(replica=replica, transcripts=transcripts, run_s=run_s):
                    self._heard_of(max(1, self._n_running))
                    self._count(replica, done=1, run_s=run_s)
                    return list(transcripts)
                case Failed(replica=replica):
                    self._count(replica, failed=1)
                    raise ReplicaFailureError(f"in replica {replica}: {outcome.told}")
                case OtherVersion(version=other):
                    told = f"a replica holds {other}, and this process was started for {self._version}"
                    if monotonic() - since_s > self._patience_s:
                        break
                    self._closed.wait(_PAUSE_S)
                case Lost(told=told):
                    n_lost += 1
                    self._on_trouble("batch_lost", reason=told, tries=n_lost, clips=len(clips))
                    self._closed.wait(_PAUSE_S * n_lost)
        self._on_trouble("batch_given_up", reason=told, clips=len(clips))
        raise self._nobody()

    def n_running(self) -> int:
        return self._n_running

    def replicas(self) -> Sequence[ReplicaNumbers]:
        with self._counting:
            return tuple(self._numbers.values())

    def close(self) -> None:
        """Leave the cluster; the replicas stay."""
        self._closed.set()
        self._watching.join(_JOIN_S)
        self._cluster.close()

    def _introduced(self) -> Introduction:
        reason = ""
        while True:
            try:
                self._cluster.connect()
                until_s = monotonic() + self._patience_s
                found = self._cluster.introduction(worth_it=partial(_is_before, until_s))
                if found.package == PACKAGE_VERSION:
                    self._on_progress("replicas_found", version=str(found.version))
                    return found
                told = f"the replicas are of parakeet-stt {found.package}, and this is {PACKAGE_VERSION}"
            except (TransportError, TimeoutError) as failure:
                told = str(failure) or "no replica is ready yet"
            if told != reason:
                self._on_trouble("replicas_awaited", reason=(reason := told))
            self._closed.wait(self._look_s)

    def _watch(self) -> None:
        while not self._closed.wait(self._look_s):
            self._look()

    def _look(self) -> None:
        with suppress(TransportError, TimeoutError):  # what was known holds for `patience_s`
            self._heard_of(self._cluster.situation().n_running)
            self._cluster.tell(self._service, self._waiting_s() + self._under_way_s)

    def _heard_of(self, n_running: int) -> None:
        self._n_running, self._known_s = n_running, monotonic()
        if n_running:
            self._could_s = self._known_s

    def _can_serve(self) -> bool:
        return self._n_running > 0 and monotonic() - self._known_s < self._patience_s + self._look_s

    def _count(self, replica: str, *, done: int = 0, failed: int = 0, run_s: float = 0.0) -> None:
        with self._counting:
            before = self._numbers.pop(replica, ReplicaNumbers(replica=replica))
            self._numbers[replica] = ReplicaNumbers(
                replica=replica, done=before.done + done, failed=before.failed + failed, run_s=before.run_s + run_s
            )
            while len(self._numbers) > _KEPT * self._facts.max_concurrent_batches:
                del self._numbers[next(iter(self._numbers))]

    def _worth_it(self) -> bool:
        return not self._closed.is_set() and (self._can_serve() or monotonic() - self._could_s < self._patience_s)

    def _nobody(self) -> ModelNotReadyError:
        return ModelNotReadyError("no replica of the model could take this; try again later", retry_after_s=_RETRY_S)


def _is_before(until_s: float) -> bool:
    return monotonic() < until_s
