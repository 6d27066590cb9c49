"""What becomes of a batch when replicas are lost, fail, are of another version or are not there; no cluster is needed for that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from app.adapters.ray.cluster import Situation, TransportError
from app.adapters.ray.recognizer import MOST_TRIES, RayRecognizer, ReplicaFailureError
from app.adapters.ray.replica import PACKAGE_VERSION
from app.adapters.ray.wire import (
    Failed,
    Heard,
    Introduction,
    Lost,
    OtherVersion,
    Outcome,
    Request,
    Version,
    encoded,
    introduction_of,
    outcome_of,
    request_of,
)
from app.domain.audio import Clip, Samples
from app.domain.errors import ModelNotReadyError
from app.domain.ports import Options, ReplicaNumbers
from app.testing.recognizers import FAKE_FACTS, spoken_evenly

PATIENCE_S: Final = 30.0
VERSION: Final = Version(package=PACKAGE_VERSION, model_id="fake", precision="float32")
OTHER: Final = OtherVersion(replica="a", version=Version(package="0", model_id="fake", precision="float32"))
HEARD: Final = Heard(replica="a", transcripts=(spoken_evenly("Hello there.", duration_s=1.0),), run_s=0.5)
CLIPS: Final = [Clip(np.ones(16_000, np.float32))]
OPTIONS: Final = [Options(keywords=("Parakeet",))]


class FakeCluster:
    """Gives the `outcomes` in order, the last for ever: a value, an exception to raise, or None: nobody takes the batch."""

    def __init__(self, *outcomes: Outcome | Exception | None, package: str = PACKAGE_VERSION, absent: int = 0) -> None:
        self._outcomes, self._package, self._absent = list(outcomes), package, absent
        self.running: int | None = 1  # None: nobody can tell
        self.n_asked, self.n_put, self.n_looks = 0, 0, 0
        self.told: SimpleQueue[tuple[str, float]] = SimpleQueue()
        self.requests: list[Request] = []
        self.closed = False

    def connect(self) -> None:
        self._absent -= 1
        if self._absent >= 0:
            raise TransportError("nobody is there")

    def introduction(self, *, worth_it: Callable[[], bool]) -> Introduction:
        package, self._package = self._package, PACKAGE_VERSION
        return introduction_of(encoded(Introduction(package=package, facts=FAKE_FACTS, configuration={"model": "fake"})))

    def put(self, samples: list[Samples]) -> Any:
        self.n_put += 1
        return [samples]

    def recognize(self, samples: Any, request: Request, *, worth_it: Callable[[], bool]) -> Outcome:
        self.n_asked += 1
        self.requests.append(request_of(encoded(request)))
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            self.n_looks += 1
            while worth_it():
                self.n_looks += 1
                threading.Event().wait(0.001)
            raise TimeoutError
        return outcome_of(encoded(outcome))

    def tell(self, service: str, audio_s: float) -> None:
        self.told.put((service, audio_s))

    def situation(self) -> Situation:
        if self.running is None:
            raise TransportError("nobody answers")
        return Situation(status="RUNNING", message="", states={"RUNNING": self.running, "STARTING": 1})

    def close(self) -> None:
        self.closed = True


@contextmanager
def joined(cluster: FakeCluster, *, patience_s: float = 0.05) -> Iterator[tuple[RayRecognizer, list[str]]]:
    told: list[str] = []
    recognizer = RayRecognizer(
        cluster,
        replicas=3,
        patience_s=patience_s,
        waiting_s=lambda: 30.0,
        on_progress=lambda event, **_facts: told.append(f"well: {event}"),
        on_trouble=lambda event, **_facts: told.append(event),
        look_s=0.005,
    )
    try:
        yield recognizer, told
    finally:
        recognizer.close()
    assert cluster.closed


def becomes_unreachable(recognizer: RayRecognizer) -> bool:
    for _ in range(int(PATIENCE_S / 0.005)):
        try:
            recognizer.check_reachable()
        except ModelNotReadyError:
            return True
        threading.Event().wait(0.005)
    return False


def test_a_batch_goes_out_with_its_options_and_comes_back() -> None:
    cluster = FakeCluster(HEARD)
    with joined(cluster) as (recognizer, _):
        assert recognizer.recognize(CLIPS, OPTIONS) == list(HEARD.transcripts)
    assert cluster.requests == [Request(version=VERSION, options=OPTIONS)]
    assert (recognizer.facts.max_concurrent_batches, recognizer.facts.device) == (3, "ray: cpu")
    assert recognizer.configuration() == {"model": "fake"}


@pytest.mark.parametrize("loss", [TransportError("the actor died"), Lost(replica="a", told="the device is lost")])
def test_a_batch_that_is_lost_is_tried_elsewhere(loss: Exception | Outcome) -> None:
    cluster = FakeCluster(loss, loss, HEARD)
    with joined(cluster) as (recognizer, told):
        assert recognizer.recognize(CLIPS, OPTIONS) == list(HEARD.transcripts)
    assert cluster.n_asked == 3
    assert told.count("batch_lost") == 2
    assert cluster.n_put == (3 if isinstance(loss, Exception) else 1), "samples may be what was lost with a machine"


def test_what_each_replica_did_is_counted_and_those_long_gone_are_forgotten() -> None:
    failed, others = Failed(replica="a", told="RuntimeError"), [msgspec.structs.replace(HEARD, replica=f"b{i}") for i in range(6)]
    with joined(FakeCluster(HEARD, failed, HEARD, *others)) as (recognizer, _):
        recognizer.recognize(CLIPS, OPTIONS)
        with pytest.raises(ReplicaFailureError):
            recognizer.recognize(CLIPS, OPTIONS)
        recognizer.recognize(CLIPS, OPTIONS)
        assert recognizer.replicas() == (ReplicaNumbers(replica="a", done=2, failed=1, run_s=1.0),)
        for _ in others:
            recognizer.recognize(CLIPS, OPTIONS)
        assert [numbers.replica for numbers in recognizer.replicas()] == [f"b{i}" for i in range(6)]


def test_a_batch_that_is_always_lost_is_given_up() -> None:
    cluster = FakeCluster(TransportError("the actor died"))
    with joined(cluster) as (recognizer, _), pytest.raises(ModelNotReadyError):
        recognizer.recognize(CLIPS, OPTIONS)
    assert cluster.n_asked == MOST_TRIES


def test_a_batch_that_the_model_fails_on_is_tried_once() -> None:
    cluster = FakeCluster(Failed(replica="a7", told="RuntimeError: CUDA out of memory"))
    with joined(cluster) as (recognizer, _), pytest.raises(ReplicaFailureError, match="a7: RuntimeError: CUDA out of memory"):
        recognizer.recognize(CLIPS, OPTIONS)
    assert cluster.n_asked == 1


def test_a_replica_of_another_version_is_passed_over() -> None:
    cluster = FakeCluster(OTHER, HEARD)
    with joined(cluster, patience_s=PATIENCE_S) as (recognizer, _):
        assert recognizer.recognize(CLIPS, OPTIONS) == list(HEARD.transcripts)


def test_where_all_replicas_are_of_another_version_nobody_is_answered() -> None:
    with joined(FakeCluster(OTHER)) as (recognizer, _), pytest.raises(ModelNotReadyError):
        recognizer.recognize(CLIPS, OPTIONS)


def test_without_a_replica_a_batch_waits_for_a_while_and_new_ones_are_refused() -> None:
    cluster = FakeCluster(None, HEARD)
    with joined(cluster) as (recognizer, _):
        recognizer.check_reachable()
        cluster.running = 0
        assert becomes_unreachable(recognizer)
        with pytest.raises(ModelNotReadyError):
            recognizer.recognize(CLIPS, OPTIONS)
        recognizer.recognize(CLIPS, OPTIONS)  # whoever answers is there, whatever was said of it
        cluster.running = 1
        recognizer.check_reachable()


def told_of(cluster: FakeCluster, audio_s: float) -> str:
    """Wait until a service tells that so much waits, and return its name."""
    while (told := cluster.told.get(timeout=PATIENCE_S))[1] != audio_s:
        pass
    return told[0]


def test_the_cluster_is_told_what_waits_and_runs() -> None:
    class Slow(FakeCluster):
        def recognize(self, samples: Any, request: Request, *, worth_it: Callable[[], bool]) -> Outcome:
            services.append(told_of(self, 31.0))  # a second is in the batch, and thirty wait
            return HEARD

    services: list[str] = []
    cluster = Slow()
    with joined(cluster) as (recognizer, _):
        services.append(told_of(cluster, 30.0))
        recognizer.recognize(CLIPS, OPTIONS)
        services.append(told_of(cluster, 30.0))
    assert len(set(services)) == 1


def test_batches_that_are_asked_for_long_after_the_last_replica_has_gone_wait_no_longer() -> None:
    cluster = FakeCluster(None)
    with joined(cluster, patience_s=0.5) as (recognizer, _):
        cluster.running = 0
        assert becomes_unreachable(recognizer)
        with pytest.raises(ModelNotReadyError):
            recognizer.recognize(CLIPS, OPTIONS)
        cluster.n_looks = 0
        with pytest.raises(ModelNotReadyError):
            recognizer.recognize(CLIPS, OPTIONS)
        assert cluster.n_looks == 1, "it has been waited for long enough"


def test_a_cluster_of_which_nothing_is_heard_counts_as_gone_after_a_while() -> None:
    cluster = FakeCluster(HEARD)
    with joined(cluster) as (recognizer, _):
        cluster.running = None
        assert becomes_unreachable(recognizer)


def test_replicas_of_this_version_are_waited_for() -> None:
    with joined(FakeCluster(HEARD, package="0", absent=2)) as (_, told):
        assert told == ["replicas_awaited", "replicas_awaited", "well: replicas_found"], "each reason is told once"
