"""Replicas come and go with the seconds of audio that wait."""

from concurrent.futures import wait
from time import monotonic

import pytest

from app.adapters.ray.recognizer import RayRecognizer
from app.container import replica_cluster
from app.domain.audio import MODEL_RATE_HZ
from app.domain.batching import BatchRules
from app.domain.engine import Engine
from app.domain.ports import Options
from app.testing.ruler import RulerWord, encode_words
from bench.troubled_ruler import HELD, numbers_left
from tests.ruler import PATIENCE_S, wait_until

from .conftest import Scene, of_ray

pytestmark = [pytest.mark.cluster, of_ray]
_CLIP_S = 50.0  # two of them are more than a batch


def test_replicas_come_with_what_waits_and_go_when_nothing_does(scene: Scene) -> None:
    scene.deploy(min_replicas=1, replicas=3, replica_audio_s=60.0, replica_idle_s=5.0)
    scene.wait_for_replicas(1)
    engine = Engine(
        lambda: RayRecognizer(
            replica_cluster(scene.settings), replicas=3, patience_s=PATIENCE_S, waiting_s=lambda: engine.queue.audio_s
        ),
        now_s=monotonic,
        max_waiting_s=1_000.0,
        rules=BatchRules(),
    )
    engine.start()
    recognizer = engine.loaded.result(PATIENCE_S)
    assert isinstance(recognizer, RayRecognizer)
    try:
        clip = encode_words([RulerWord(number=HELD, start_sample=0, n_samples=MODEL_RATE_HZ)], _CLIP_S)
        answers = [engine.submit(clip, Options()) for _ in range(5)]  # 250 s: five replicas' worth
        wait_until(lambda: len(numbers_left(scene.gate)) == 3)  # each holds a batch, with the model loaded
        assert (scene.cluster.situation().n_running, engine.queue.n_clips) == (3, 2), "no more than are allowed"
        scene.open_gate()
        wait(answers, PATIENCE_S)
        assert {answer.result().text for answer in answers} == {f"w{HELD}"}
        scene.wait_for_replicas(1)
    finally:
        scene.open_gate()
        engine.close()
        recognizer.close()
        scene.deploy()
