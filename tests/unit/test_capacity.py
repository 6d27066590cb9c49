"""The capacity plan's simulation: nothing is lost or told twice, waits add up, and more replicas never serve later."""

import random

import pytest
import simpy

from app.domain.batching import BatchRules
from bench.capacity.clients import Finals, Heard, Talk, closed_loop, live_sessions, open_loop, poisson
from bench.capacity.costs import Api, Model
from bench.capacity.simulation import Replicas, Service, fleet

API = Api(
    loop_request_s=0.005,
    loop_audio_s=0.0002,
    decode_request_s=0.002,
    decode_audio_s=0.001,
    live_s=0.01,
    detect_audio_s=0.0,
    answer_s=0.0,
)
FREE = Api(
    loop_request_s=0.0, loop_audio_s=0.0, decode_request_s=0.0, decode_audio_s=0.0, live_s=0.0, detect_audio_s=0.0, answer_s=0.0
)
MODEL = Model(batch_s=0.2, padded_s=0.02)
LENGTHS_S = (2.0, 3.5, 5.0, 8.0)


def sent(*, replicas: int, rate_per_s: float, seed: int = 0, api: Api = API) -> tuple[Heard, Service, Replicas, int]:
    """Send a minute's files to one service; returns what came of them, and how many there were."""
    env, heard = simpy.Environment(), Heard()
    models, services = fleet(env, api, MODEL, replicas=replicas)
    arrivals = list(poisson(rate_per_s, 60.0, LENGTHS_S, random.Random(seed)))  # noqa: S311
    env.process(open_loop(services, iter(arrivals), heard))
    env.run()
    return heard, services[0], models, len(arrivals)


def test_one_clip_alone_takes_what_its_stages_cost() -> None:
    env, heard = simpy.Environment(), Heard()
    _, services = fleet(env, API, MODEL, replicas=1, rules=BatchRules(padded_s=60.0))
    closed_loop(services, iter([4.0]), heard, clients=1)
    env.run()
    assert heard.latency_s == [pytest.approx(0.005 + 0.0008 + 0.002 + 0.004 + 0.2 + 0.08)]


@pytest.mark.parametrize("rate_per_s", [3.0, 12.0])
def test_every_file_is_answered_once_or_refused(rate_per_s: float) -> None:
    heard, service, _, n = sent(replicas=1, rate_per_s=rate_per_s)
    assert len(heard.latency_s) + heard.refused == n
    assert service.engine.n_answered == service.engine.n_submitted == n - heard.refused
    assert service.engine.n_waiting == 0


def test_what_cannot_be_served_in_time_is_refused() -> None:
    heard, *_ = sent(replicas=1, rate_per_s=40.0)
    assert heard.refused > 0
    assert max(heard.latency_s) < 60.0


def test_clips_in_the_queue_are_their_rate_times_their_wait() -> None:
    heard, service, _, n = sent(replicas=2, rate_per_s=8.0)
    engine, lasted_s = service.engine, max(heard.at_s)
    mean_clips, mean_wait_s = engine.clip_s / lasted_s, engine.wait_s / n
    assert mean_clips == pytest.approx(n / lasted_s * mean_wait_s)  # Little's law


@pytest.mark.parametrize("seed", range(3))
def test_more_replicas_never_serve_later(seed: int) -> None:
    runs = [sent(replicas=replicas, rate_per_s=7.0, seed=seed, api=FREE)[0] for replicas in (1, 2, 4, 8)]
    means = [sum(heard.latency_s) / len(heard.latency_s) for heard in runs]
    lasts = [max(heard.latency_s) for heard in runs]
    assert means == sorted(means, reverse=True)
    assert lasts == sorted(lasts, reverse=True)


def test_no_model_is_busier_than_time_goes() -> None:
    heard, _, models, _ = sent(replicas=2, rate_per_s=20.0)
    assert models.busy_s <= 2 * max(heard.at_s)


def test_a_batch_of_a_lost_replica_runs_again_and_nobody_is_forgotten() -> None:
    env, heard = simpy.Environment(), Heard()
    models, services = fleet(env, API, MODEL, replicas=2)
    arrivals = list(poisson(6.0, 20.0, LENGTHS_S, random.Random(0)))  # noqa: S311
    env.process(open_loop(services, iter(arrivals), heard))
    back = env.event()

    def zone() -> simpy.events.ProcessGenerator:
        yield env.timeout(10.0)
        env.process(models.leave(back, at_once=True))
        env.process(models.leave(back, at_once=True))
        yield env.timeout(5.0)
        assert models.n_gone == 2
        back.succeed()

    env.process(zone())
    env.run()
    assert models.n_lost == 2
    assert len(heard.latency_s) == len(arrivals)
    assert not [at_s for at_s in heard.at_s if 10.1 < at_s < 15.0]


def test_every_utterance_of_live_sessions_gets_its_final() -> None:
    env, finals = simpy.Environment(), Finals()
    _, services = fleet(env, API, Model(batch_s=0.03, padded_s=0.004), replicas=1)
    live_sessions(services, Talk(utterances_s=[2.0], noticed_s=[0.25]), finals, n=5, until_s=20.0)
    env.run()
    assert finals.speech_s == 2.0 * len(finals.final_s)
    assert min(finals.final_s) >= 0.2 - 1e-9  # the silence that ends an utterance is waited for
    engine = services[0].engine
    assert engine.n_submitted == engine.n_answered + engine.n_withdrawn
    assert engine.live_sessions == 0
