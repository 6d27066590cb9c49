"""What no test machine shows: cards that were not at hand, and how many of them and of services it takes."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import simpy

from ..clips import mixed_lengths_s
from .clients import Finals, Heard, Talk, closed_loop, live_sessions
from .costs import Measured, Model
from .simulation import fleet

# Assumed, not measured: NeMo's public rates of offline transcription, and a single request of 8 s at 222 times real time, which is
# 36 ms, nearly all of it whatever the length. docs/capacity.md names the sources.
CARDS: Final = {
    "L4": Model(batch_s=0.034, padded_s=1 / 238, most_padded_s=960.0),
    "A100": Model(batch_s=0.034, padded_s=1 / 3386, most_padded_s=960.0),
}
QUICKER: Final = Model(batch_s=0.010, padded_s=1 / 3386, most_padded_s=960.0)  # as a decoder with CUDA graphs might have it
TWO_CORES: Final = Model(batch_s=0.56, padded_s=0.137, most_padded_s=96.0)  # measured: bench/RESULTS.md, float32
BOUND_S: Final = 0.5  # on the 95th percentile of finals, of which 0.2 s are the silence that ends an utterance
_PASSED: Final = 2.0
_LIVE_S: Final = 20.0
_BUSY: Final = 0.7  # of a worker's core: what is planned with
ZONES: Final = 3
LENGTHS_S: Final = mixed_lengths_s(64, 2.0, 20.0)  # of files


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """How so many sessions fare."""

    sessions: int
    services: int
    p50_s: float
    p95_s: float
    partials_per_s: float  # for each second of speech
    batch_clips: float
    gpu_busy: float
    worker_busy: float


def live(found: Measured, model: Model, n: int, *, services: int, replicas: int = 1, partials: bool = True) -> Live:
    """Hold sessions on services that share replicas."""
    env, finals = simpy.Environment(), Finals()
    models, shared = fleet(env, found.api, model, replicas=replicas, services=services)
    live_sessions(
        shared, Talk(utterances_s=found.utterances_s, noticed_s=found.noticed_s, partials=partials), finals, n=n, until_s=_LIVE_S
    )
    env.run(until=_LIVE_S)
    n_batches = sum(service.engine.n_live_batches for service in shared)
    p50_s, p95_s = np.percentile(finals.final_s or [math.inf], [50, 95])
    return Live(
        sessions=n, services=services, p50_s=float(p50_s), p95_s=float(p95_s),
        partials_per_s=len(finals.partial_s) / finals.speech_s if finals.speech_s else 0.0,
        batch_clips=sum(service.engine.n_live_clips for service in shared) / max(1, n_batches),
        gpu_busy=models.busy_s / replicas / _LIVE_S, worker_busy=sum(service.loop_s for service in shared) / services / _LIVE_S,
    )  # fmt: skip


def sessions_of_a_service(found: Measured) -> int:
    """Return how many sessions keep a worker's core as busy as is planned with."""
    return int(_BUSY / found.api.live_s)


def live_curve(found: Measured, model: Model, counts: Sequence[int], *, partials: bool = True) -> list[Live]:
    """Hold more and more sessions on one GPU, with as many services as they need, until the bound is long passed."""
    most, rows = sessions_of_a_service(found), list[Live]()
    for n in counts:
        rows.append(live(found, model, n, services=math.ceil(n / most), partials=partials))
        if rows[-1].p95_s > _PASSED * BOUND_S:
            break
    return rows


def sizes(found: Measured) -> list[list[str]]:
    """Return how many machines many sessions need: whichever of three zones is lost."""
    rows = [["sessions", *(f"{card}: {what}" for card in CARDS for what in ("GPUs", "and a zone", "services"))]]
    kept = {card: max(1, most_held(found, model)) for card, model in CARDS.items()}
    for sessions in (10, 100, 1_000, 10_000, 100_000):
        row = [f"{sessions:,}"]
        for card in CARDS:
            n_gpus = math.ceil(sessions / kept[card])
            spare = math.ceil(n_gpus * ZONES / (ZONES - 1))
            n_services = math.ceil(sessions / sessions_of_a_service(found))
            row += [f"{n_gpus:,}", f"{max(spare, ZONES):,}", f"{n_services:,}"]
        rows.append(row)
    return rows


def most_held(found: Measured, model: Model) -> int:
    """Return how many sessions one GPU holds within the bound, found by halving; more are always slower."""
    most = sessions_of_a_service(found)
    low, high = 0, 2_048
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        row = live(found, model, middle, services=math.ceil(middle / most))
        low, high = (middle, high) if row.p95_s <= BOUND_S else (low, middle)
    return low


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """What services get out of one GPU."""

    clip_s: float
    services: int
    audio_s_per_s: float
    gpu_busy: float
    loop_cores: float
    decode_cores: float


def feeding(found: Measured, model: Model, clip_s: float, services: int, *, lasts_s: float = 20.0) -> Fed:
    """Have more clients than can be served send clips of one length."""
    env, heard = simpy.Environment(), Heard()
    models, shared = fleet(env, found.api, model, replicas=1, services=services)
    closed_loop(shared, _always(clip_s), heard, clients=96 * services)
    env.run(until=lasts_s)
    return Fed(
        clip_s=clip_s, services=services, audio_s_per_s=heard.audio_s / lasts_s, gpu_busy=models.busy_s / lasts_s,
        loop_cores=sum(service.loop_s for service in shared) / lasts_s,
        decode_cores=sum(service.decode_s for service in shared) / lasts_s,
    )  # fmt: skip


def saturated_per_s(found: Measured, model: Model, *, lasts_s: float = 120.0) -> float:
    """Return how many clips of `LENGTHS_S` one replica answers in a second when there are always more."""
    env, heard, chance = simpy.Environment(), Heard(), random.Random(0)
    _, services = fleet(env, found.api, model, replicas=1, services=2)
    closed_loop(services, (chance.choice(LENGTHS_S) for _ in iter(int, 1)), heard, clients=64)
    env.run(until=lasts_s)
    return len(heard.at_s) / lasts_s


def _always(value: float) -> Iterator[float]:
    while True:
        yield value
