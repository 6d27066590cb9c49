"""Replicas, nodes and devices are lost: whoever was accepted is answered, and nothing is tried around the whole cluster."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Final

import psutil
import pytest
from structlog.testing import capture_logs

from app.adapters.ray.recognizer import MOST_TRIES
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.domain.audio import Clip
from app.domain.batching import BatchRules
from app.domain.engine import Engine
from app.domain.errors import ModelNotReadyError, RecognitionError
from app.domain.ports import Options, Recognizer
from app.domain.transcript import Transcript
from app.settings import Settings
from bench.troubled_ruler import DEAD_THREAD, DEADLY, HELD, LOST_ONCE, POISON, float_wav, numbers_left, said, text_of
from tests.app.service import send, serving
from tests.ruler import PATIENCE_S, wait_until

from .conftest import Scene, of_ray

pytestmark = [pytest.mark.cluster, of_ray]
OPTIONS: Final = Options()


def heard_by(recognizer: Recognizer, *numbers: int) -> str:
    return recognizer.recognize([said(*numbers)], [OPTIONS])[0].text


@contextmanager
def engine_of(recognizer: Recognizer) -> Iterator[Engine]:
    engine = Engine(lambda: recognizer, now_s=monotonic, max_waiting_s=1_000.0, rules=BatchRules(linger_s=0.1))
    engine.start()
    engine.loaded.result(PATIENCE_S)
    try:
        yield engine
    finally:
        engine.close()


def test_a_batch_whose_replica_is_killed_is_answered_by_another(scene: Scene) -> None:
    recognizer = scene.recognizer()
    with ThreadPoolExecutor(1) as owner:
        answer = owner.submit(heard_by, recognizer, 5, HELD)
        os.kill(scene.wait_for_number(), signal.SIGKILL)
        scene.open_gate()
        assert answer.result(PATIENCE_S) == text_of(5, HELD)
    scene.wait_for_replicas(2)


def test_a_batch_whose_node_is_removed_is_answered_by_another(scene: Scene) -> None:
    recognizer = scene.recognizer()
    with ThreadPoolExecutor(1) as owner:
        answer = owner.submit(heard_by, recognizer, 6, HELD)
        node = scene.nodes.node_of(scene.wait_for_number())
        scene.nodes.kill(node)
        scene.open_gate()
        assert answer.result(PATIENCE_S) == text_of(6, HELD)
    scene.nodes.add()
    scene.wait_for_replicas(2)


def test_a_poisonous_clip_fails_alone_and_ends_no_replica(scene: Scene) -> None:
    with engine_of(scene.recognizer()) as engine:
        answers = [engine.submit(clip, OPTIONS) for clip in (said(1), said(POISON), said(2), said(3))]
        assert [answers[i].result(PATIENCE_S).text for i in (0, 2, 3)] == [text_of(n) for n in (1, 2, 3)]
        with pytest.raises(RecognitionError):
            answers[1].result(PATIENCE_S)
    assert scene.cluster.situation().n_running == 2


@pytest.mark.parametrize("word", [DEADLY, DEAD_THREAD])
def test_a_clip_that_ends_replicas_ends_a_bounded_number_of_them(scene: Scene, word: int) -> None:
    recognizer = scene.recognizer()
    with pytest.raises(ModelNotReadyError) as told:
        heard_by(recognizer, word)
    assert told.value.retry_after_s > 0
    assert 1 <= len(numbers_left(scene.gate)) <= MOST_TRIES
    scene.wait_for_replicas(2)
    assert heard_by(recognizer, 8) == text_of(8)


def test_a_replica_whose_device_is_lost_gets_no_further_batch_and_is_replaced(scene: Scene) -> None:
    recognizer = scene.recognizer()
    with capture_logs() as logs:
        assert heard_by(recognizer, LOST_ONCE) == text_of(LOST_ONCE)
        for number in range(1, 21):
            assert heard_by(recognizer, number) == text_of(number)
    assert [told["reason"] for told in logs if told["event"] == "batch_lost"] == ["the device is lost, as was asked"]
    wait_until(lambda: not psutil.pid_exists(numbers_left(scene.gate)[0]))
    scene.wait_for_replicas(2)


def test_without_a_replica_the_service_refuses_and_recovers_by_itself(scene: Scene) -> None:
    recognizer = scene.recognizer(max_wait_s=2.0)
    with serving(Settings(), recognizer=recognizer, normalizer=TorchaudioNormalizer()) as (client, _):
        assert send(client, float_wav(said(1, 2))).json()["text"] == text_of(1, 2)
        for node in scene.nodes.workers:
            scene.nodes.kill(node)
        wait_until(lambda: client.get("/readyz").status_code == 503)
        refused = send(client, float_wav(said(1)))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200, "nothing here needs another process"
        for _ in range(2):
            scene.nodes.add()
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert send(client, float_wav(said(3, 4))).json()["text"] == text_of(3, 4)
    scene.wait_for_replicas(2)


def test_replicas_of_another_version_answer_nobody(scene: Scene) -> None:
    recognizer = scene.recognizer(max_wait_s=2.0)
    scene.deploy(precision="bfloat16")
    try:
        with pytest.raises(ModelNotReadyError):
            heard_by(recognizer, 1)
        assert scene.recognizer().facts.precision == "bfloat16"
    finally:
        scene.deploy()
    assert heard_by(recognizer, 2) == text_of(2)


def test_replicas_deployed_anew_lose_no_batch(scene: Scene) -> None:
    recognizer = scene.recognizer()
    clips: list[Clip] = [said(n) for n in range(1, 41)]
    with ThreadPoolExecutor(2) as owners, ThreadPoolExecutor(1) as operator:
        deployed = operator.submit(scene.deploy, stuck_s=599.0)  # another plan: all replicas are replaced
        answers: list[tuple[int, Future[list[Transcript]]]] = []
        while not (deployed.done() and len(answers) >= len(clips)):
            clip = clips[len(answers) % len(clips)]
            answers.append((len(answers) % len(clips) + 1, owners.submit(recognizer.recognize, [clip], [OPTIONS])))
            answers[-1][1].result(PATIENCE_S)
        assert all(answer.result()[0].text == text_of(number) for number, answer in answers)
        deployed.result(PATIENCE_S)
