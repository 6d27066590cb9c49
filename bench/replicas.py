"""Do four replicas recognise four times as much as one, and what does a batch cost on its way to one? `just bench-replicas`

`python -m bench.replicas` starts a Ray cluster of several nodes on this machine. The recogniser waits, the same time for each
batch, and computes nothing: so two cores are enough to see what the engine and the way to the replicas cost.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec
import numpy as np
import psutil

from app.adapters.ray.cluster import RayCluster
from app.adapters.ray.recognizer import RayRecognizer
from app.container import replica_cluster, replica_plan
from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.batching import BatchRules
from app.domain.engine import Engine
from app.domain.ports import Options
from app.domain.transcript import Transcript
from app.settings import Settings

from .cluster_nodes import Nodes
from .environment import environment
from .flags import console, guarded
from .goals import Goal
from .outside import InstantRecognizer
from .report import Table, facts_table, goal_table, number, put
from .statistics import percentile_ms

_RECOGNIZER: Final = "bench.replicas:WaitingRecognizer"  # as the nodes find it, where this is not `__main__`
_WAIT_S: Final = "REPLICA_WAIT_S"  # a variable: how long a batch takes
_REPLICAS: Final = (1, 2, 4)
_NODES: Final = 2
_CLIP_S: Final = 5.0
_FULL: Final = 12  # such clips make a batch
_SIZES: Final = ((1, 2.0), (1, 15.0), (12, 5.0), (4, 15.0), (1, 300.0))  # clips of a batch, and how long each is
_LOADING_S: Final = 120.0


class WaitingRecognizer(InstantRecognizer):
    """Takes the same time for every batch."""

    def __init__(self, _settings: Settings) -> None:
        self._wait_s = float(os.environ[_WAIT_S])

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        time.sleep(self._wait_s)
        return super().recognize(clips, options)


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast so many replicas were."""

    replicas: int
    batches: int
    wall_s: float
    busy_s: float  # of all replicas, by their own clocks
    core_s: float  # of this process

    @property
    def per_s(self) -> float:
        return self.batches / self.wall_s


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What batches of one size cost on their way, one after the other."""

    clips: int
    clip_s: float
    ways_ms: list[float]  # from the call to its return, less what the recogniser took
    puts_ms: list[float]  # of it, to lay the samples into the object store
    core_ms: float  # of this process, for each batch

    @property
    def mib(self) -> float:
        return self.clips * self.clip_s * MODEL_RATE_HZ * 4 / 2**20


def _sound(seconds: float) -> Clip:
    return Clip(np.full(round(seconds * MODEL_RATE_HZ), 0.1, np.float32))


def _rate(recognizer: RayRecognizer, batches: int) -> Rate:
    """Recognise so many full batches, all of which wait from the beginning."""
    engine = Engine(lambda: recognizer, now_s=time.monotonic, max_waiting_s=1e9, rules=BatchRules())
    engine.start()
    engine.loaded.result(_LOADING_S)
    clip, before_s, cores_s = _sound(_CLIP_S), _busy_s(recognizer), _core_s()
    began_s = time.monotonic()
    answers = [engine.submit(clip, Options()) for _ in range(batches * _FULL)]
    for answer in answers:
        answer.result()
    wall_s = time.monotonic() - began_s
    engine.close()
    return Rate(
        replicas=recognizer.facts.max_concurrent_batches, batches=batches, wall_s=wall_s,
        busy_s=_busy_s(recognizer) - before_s, core_s=_core_s() - cores_s,
    )  # fmt: skip


def _cost(recognizer: RayRecognizer, cluster: RayCluster, *, clips: int, clip_s: float, times: int) -> Cost:
    batch, options = [_sound(clip_s) for _ in range(clips)], [Options()] * clips
    recognizer.recognize(batch, options)
    ways_ms, puts_ms, cores_s = list[float](), list[float](), _core_s()
    for _ in range(times):
        before_s, began_s = _busy_s(recognizer), time.monotonic()
        recognizer.recognize(batch, options)
        ways_ms.append(1000 * (time.monotonic() - began_s - _busy_s(recognizer) + before_s))
    core_ms = 1000 * (_core_s() - cores_s) / times
    for _ in range(times):
        began_s = time.monotonic()
        cluster.put([clip.samples for clip in batch])
        puts_ms.append(1000 * (time.monotonic() - began_s))
    return Cost(clips=clips, clip_s=clip_s, ways_ms=ways_ms, puts_ms=puts_ms, core_ms=core_ms)


def _busy_s(recognizer: RayRecognizer) -> float:
    return sum(numbers.run_s for numbers in recognizer.replicas())


def _core_s() -> float:
    spent = psutil.Process().cpu_times()
    return float(spent.user + spent.system)


def _rate_table(rates: Sequence[Rate]) -> Table:
    rows = [
        [
            str(rate.replicas), str(rate.batches), number(rate.wall_s), number(rate.per_s),
            f"{rate.busy_s / rate.wall_s / rate.replicas:.1%}", f"{rate.per_s / rate.replicas / rates[0].per_s:.3f}",
            number(1000 * rate.core_s / rate.batches),
        ]
        for rate in rates
    ]  # fmt: skip
    head = ["replicas", "batches", "s", "batches/s", "of the time busy", "rate / replicas / rate of one", "core-ms of a batch here"]
    return Table(title="Full batches, all waiting from the beginning", head=head, rows=rows)


def _cost_table(costs: Sequence[Cost]) -> Table:
    rows = [
        [
            f"{cost.clips} of {cost.clip_s:g} s", f"{cost.mib:.2f}",
            *(f"{percentile_ms(cost.ways_ms, percent):.1f}" for percent in (50, 95)),
            *(f"{percentile_ms(cost.puts_ms, percent):.2f}" for percent in (50, 95)), f"{cost.core_ms:.1f}",
        ]
        for cost in costs
    ]  # fmt: skip
    head = ["clips", "MiB", "way p50 ms", "way p95 ms", "laid down p50 ms", "laid down p95 ms", "core-ms here"]
    return Table(title="What a batch costs beside the recogniser's time, one after the other", head=head, rows=rows)


def _run(given: argparse.Namespace) -> int:
    rates, costs, facts = list[Rate](), list[Cost](), environment()
    with closing(Nodes(_NODES, {_WAIT_S: str(given.wait_ms / 1000)})) as nodes:
        for n in _REPLICAS:
            settings = Settings(replicas=n, ray_address=nodes.address, recognizer=_RECOGNIZER, replica_cpus=0.5)
            with closing(replica_cluster(settings)) as cluster:
                cluster.deploy(replica_plan(settings))
                with closing(RayRecognizer(cluster, replicas=n, patience_s=settings.max_wait_s)) as recognizer:
                    rates.append(_rate(recognizer, given.batches * n))
                    if n == 1:
                        costs = [_cost(recognizer, cluster, clips=k, clip_s=s, times=given.times) for k, s in _SIZES]
    last = rates[-1]
    goal = Goal(
        name=f"rate of {last.replicas} replicas / {last.replicas} x rate of one",
        value=last.per_s / last.replicas / rates[0].per_s, bound=0.9, at_least=True,
    )  # fmt: skip
    put([_rate_table(rates), goal_table("Goal", [goal], bound=True), _cost_table(costs), facts_table(facts)], console())
    return 0 if goal.met else 1


def main() -> int:
    """Run; 0 if the goal is met, 1 if not or for a failure, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="just bench-replicas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wait-ms", type=float, default=1_000.0, help="What a batch takes. Default: 1000.")
    parser.add_argument("--batches", type=int, default=30, help="Full batches for each replica. Default: 30.")
    parser.add_argument("--times", type=int, default=50, help="Batches of each size, for the way's cost. Default: 50.")
    given = parser.parse_args()
    return guarded("bench-replicas", lambda: _run(given))


if __name__ == "__main__":
    sys.exit(main())
