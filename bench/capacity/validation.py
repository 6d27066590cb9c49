"""The simulation against what was measured: the same clips, sent at the same moments, to the same model."""

import random

import msgspec
import numpy as np
import simpy

from ..statistics import percentile_ms
from .clients import Finals, Heard, Talk, closed_loop, live_sessions, open_loop
from .costs import Api, LivePoint, Measured, Point
from .simulation import fleet


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, measured and simulated."""

    point: str
    figure: str
    measured: float
    simulated: float

    @property
    def off(self) -> float:
        """How far the simulation is off, as a share of what was measured."""
        return self.simulated / self.measured - 1


def compared(found: Measured) -> list[Compared]:
    """Simulate every measured point."""
    return [
        *(row for point in found.files for row in _files(point, found.api)),
        *(row for point in found.live for row in _live(point, found)),
    ]


def _files(point: Point, api: Api) -> list[Compared]:
    env, heard = simpy.Environment(), Heard()
    _, services = fleet(env, api, point.model, replicas=point.at_a_time)
    if point.arrivals_s:
        env.process(open_loop(services, zip(point.arrivals_s, point.lengths_s, strict=True), heard))
    else:
        closed_loop(services, iter(point.lengths_s), heard, clients=point.concurrency)
    env.run()
    engine, latency_ms = services[0].engine, [1000 * latency_s for latency_s in heard.latency_s]
    simulated = {
        "audio s/s": heard.audio_s / max(heard.at_s),
        "p50, ms": percentile_ms(latency_ms, 50) or 0.0,
        "p99, ms": percentile_ms(latency_ms, 99) or 0.0,
        "mean wait, ms": 1000 * engine.wait_s / engine.n_answered,
        "clips a batch": engine.n_answered / engine.n_batches,
    }
    measured = (point.audio_s_per_s, point.p50_ms, point.p99_ms, point.queue_ms, point.batch_clips)
    name = f"{point.name}, {point.at_a_time} at a time" if point.at_a_time > 1 else point.name
    return [
        Compared(point=name, figure=figure, measured=value, simulated=simulated[figure])
        for figure, value in zip(simulated, measured, strict=True)
        if value > 0  # of nothing no share can be told
    ]


def _live(point: LivePoint, found: Measured) -> list[Compared]:
    env, finals = simpy.Environment(), Finals()
    model = point.model
    _, services = fleet(env, found.api, model, replicas=1)
    lengths_s = random.Random(0).sample(found.utterances_s, len(found.utterances_s))
    live_sessions(services, Talk(utterances_s=lengths_s, noticed_s=found.noticed_s), finals, n=point.sessions, until_s=60.0)
    env.run(until=60.0)
    engine = services[0].engine
    final_ms = [1000 * final_s for final_s in finals.final_s]
    simulated = {
        "final p50, ms": float(np.percentile(final_ms, 50)),
        "final p95, ms": float(np.percentile(final_ms, 95)),
        "clips a batch": engine.n_live_clips / engine.n_live_batches,
        "clips a second": engine.n_live_clips / 60.0,
    }
    measured = (point.final_p50_ms, point.final_p95_ms, point.batch_clips, point.clips_per_s)
    return [
        Compared(point=f"{point.sessions} live sessions", figure=figure, measured=value, simulated=simulated[figure])
        for figure, value in zip(simulated, measured, strict=True)
    ]
