"""What passes: bursts, a lost zone, a day. Files only, on machines as `scenarios` assumes them."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import simpy

from .clients import Heard, open_loop, poisson, send
from .costs import Measured, Model
from .scenarios import LENGTHS_S, ZONES
from .simulation import Replicas, Service, Steps, fleet

_LATE_S: Final = 1.0  # beyond the 99th percentile of before: an answer that takes so long is not back to normal


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """How long one lasts for those who come in it, and after it."""

    replicas: int
    p99_before_s: float
    p99_s: float
    recovers_s: float
    refused: int
    sent: int


def burst(found: Measured, model: Model, replicas: int, *, usual_per_s: float, times: float, lasts_s: float) -> Burst:
    """Send the usual load for half a minute, many times that for `lasts_s`, and the usual again."""
    env, heard, chance = simpy.Environment(), Heard(), random.Random(0)
    _, services = fleet(env, found.api, model, replicas=replicas, services=2 * replicas)
    from_s, until_s, over_s = 30.0, 30.0 + lasts_s, 150.0
    usual = poisson(usual_per_s, over_s, LENGTHS_S, chance)
    more = poisson(usual_per_s * (times - 1), lasts_s, LENGTHS_S, chance)
    arrivals = sorted([*usual, *((from_s + at_s, length_s) for at_s, length_s in more)])
    env.process(open_loop(services, iter(arrivals), heard))
    env.run()
    before = _p99(heard, 0.0, from_s)
    answers = zip(heard.at_s, heard.latency_s, strict=True)
    late = [at_s for at_s, latency_s in answers if at_s > until_s and latency_s > before + _LATE_S]
    return Burst(
        replicas=replicas, p99_before_s=before, p99_s=_p99(heard, from_s, over_s), refused=heard.refused, sent=len(arrivals),
        recovers_s=max(late, default=until_s) - until_s,
    )  # fmt: skip


def _p99(heard: Heard, from_s: float, until_s: float) -> float:
    """Return the 99th percentile of what was sent within a stretch."""
    chosen = [
        latency_s for at_s, latency_s in zip(heard.at_s, heard.latency_s, strict=True) if from_s <= at_s - latency_s < until_s
    ]
    return float(np.percentile(chosen, 99)) if chosen else math.nan


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """What a lost zone costs."""

    load: float
    p99_before_s: float
    p99_s: float  # of what was sent while it was gone
    p99_after_s: float
    refused: int
    sent: int
    batches_again: int


def lost_zone(found: Measured, model: Model, *, replicas: int, load: float, full_per_s: float) -> Zone:
    """Lose a third of the replicas for a minute, with what they run."""
    env, heard = simpy.Environment(), Heard()
    models, services = fleet(env, found.api, model, replicas=replicas, services=2 * replicas)
    from_s, back_s, over_s = 30.0, 90.0, 150.0
    arrivals = list(poisson(load * full_per_s, over_s, LENGTHS_S, random.Random(0)))
    env.process(open_loop(services, iter(arrivals), heard))
    env.process(_lose(env, models, replicas // ZONES, from_s, back_s))
    env.run()
    return Zone(
        load=load, p99_before_s=_p99(heard, 0.0, from_s - 1), p99_s=_p99(heard, from_s, back_s),
        p99_after_s=_p99(heard, back_s + 30, over_s), refused=heard.refused, sent=len(arrivals), batches_again=models.n_lost,
    )  # fmt: skip


def _lose(env: simpy.Environment, models: Replicas, n: int, from_s: float, back_s: float) -> Steps:
    yield env.timeout(from_s)
    back = env.event()
    for _ in range(n):
        env.process(models.leave(back, at_once=True))
    yield env.timeout(back_s - from_s)
    back.succeed()


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day of one way to have machines."""

    way: str
    machine_hours: float
    p50_s: float
    p99_s: float
    refused: int
    sent: int
    at_h: list[float]
    machines: list[int]
    rate_per_s: list[float]


_LOOK_S: Final = 15.0  # how often the autoscaler looks
_START_S: Final = 120.0  # until a machine that was asked for serves: assumed
_CALM_S: Final = 600.0  # as in deploy/kubernetes/autoscaler.yaml, as are the next two
_TARGET_S: Final = 5.0  # what waits for a machine lasts so long
_LEAST: Final = 2


def day(found: Measured, model: Model, *, most: int, peak_per_s: float, follows: bool, hours: float = 24.0) -> Day:
    """Let a day pass: at night a fifth of the peak, machines that share nothing, one service and one model each."""
    env, heard, lasts_s = simpy.Environment(), Heard(), hours * 3600
    pods = [fleet(env, found.api, model, replicas=1)[1][0] for _ in range(most)]
    active = _Active(n=_LEAST if follows else most)
    told = Day(
        way="follows the queue" if follows else "as many as the peak needs", machine_hours=0.0, p50_s=0.0, p99_s=0.0, refused=0,
        sent=0, at_h=[], machines=[], rate_per_s=[],
    )  # fmt: skip

    def rate_per_s(at_s: float) -> float:
        return peak_per_s * (0.2 + 0.8 * math.sin(math.pi * at_s / lasts_s) ** 2)

    def arrivals() -> Iterator[tuple[float, float]]:
        chance = random.Random(0)
        for at_s, length_s in poisson(peak_per_s, lasts_s, LENGTHS_S, chance):
            if chance.random() < rate_per_s(at_s) / peak_per_s:  # thinned: a Poisson process whose rate changes
                yield at_s, length_s

    env.process(_to_active(pods, active, arrivals(), heard))
    env.process(_scale(env, pods, active, follows=follows, rate_per_s=rate_per_s, told=told))
    env.run(until=lasts_s)
    return msgspec.structs.replace(
        told, machine_hours=sum(told.machines) * _LOOK_S / 3600, refused=heard.refused, sent=heard.refused + len(heard.at_s),
        p50_s=float(np.percentile(heard.latency_s, 50)), p99_s=float(np.percentile(heard.latency_s, 99)),
    )  # fmt: skip


class _Active(msgspec.Struct):
    """How many machines get requests, and how many are paid for."""

    n: int
    starting: int = 0


def _to_active(pods: Sequence[Service], active: _Active, arrivals: Iterator[tuple[float, float]], heard: Heard) -> Steps:
    env = pods[0].env
    for number, (at_s, length_s) in enumerate(arrivals):
        yield env.timeout(max(0.0, at_s - env.now))
        env.process(send(pods[number % active.n], length_s, heard))


def _scale(
    env: simpy.Environment,
    pods: Sequence[Service],
    active: _Active,
    *,
    follows: bool,
    rate_per_s: Callable[[float], float],
    told: Day,
) -> Steps:
    """Look at what waits, as Kubernetes' autoscaler does: machines in proportion, up at once, down after calm."""
    wanted: list[int] = []
    while True:
        yield env.timeout(_LOOK_S)
        told.at_h.append(env.now / 3600)
        told.machines.append(active.n + active.starting)
        told.rate_per_s.append(rate_per_s(env.now))
        if not follows:
            continue
        waits_s = sum(pod.engine.queue_lasts_s for pod in pods[: active.n]) / active.n
        wanted.append(min(len(pods), max(_LEAST, math.ceil(active.n * waits_s / _TARGET_S))))
        calm = max(wanted[-round(_CALM_S / _LOOK_S) :])
        if wanted[-1] > active.n + active.starting:
            n = wanted[-1] - active.n - active.starting
            active.starting += n
            env.process(_start(env, active, n))
        elif not active.starting:
            active.n = min(active.n, calm)


def _start(env: simpy.Environment, active: _Active, n: int) -> Steps:
    yield env.timeout(_START_S)
    active.starting -= n
    active.n += n
