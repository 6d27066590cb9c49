"""While replicas are replaced by those of another version, each service is answered by its own, or refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adapters.ray.recognizer import RayRecognizer
from app.domain.errors import ModelNotReadyError
from app.domain.ports import Options, Recognizer
from bench.troubled_ruler import HELD, said, text_of
from tests.ruler import PATIENCE_S, wait_until

from .conftest import Scene, of_ray

pytestmark = [pytest.mark.cluster, of_ray]
_OTHER = "bfloat16"


def heard_by(recognizer: Recognizer, *numbers: int) -> str:
    return recognizer.recognize([said(*numbers)], [Options()])[0].text


def is_answered(recognizer: Recognizer) -> bool:
    """Whether a batch is taken; what comes of it must be right."""
    try:
        assert heard_by(recognizer, 4) == text_of(4)
    except ModelNotReadyError:
        return False
    return True


def names_of(recognizer: RayRecognizer) -> set[str]:
    return {numbers.replica for numbers in recognizer.replicas() if numbers.done}


def of_the_other_version(scene: Scene) -> RayRecognizer:
    """Return a recogniser of a service that was started once the first replica of the other version ran."""
    while (found := scene.recognizer()).facts.precision != _OTHER:
        found.close()  # it would go on asking how the replicas fare
    return found


def test_two_versions_at_a_time_are_never_mixed(scene: Scene) -> None:
    scene.deploy(drain_s=PATIENCE_S)
    old, hasty = scene.recognizer(), scene.recognizer(max_wait_s=2.0)
    try:
        with ThreadPoolExecutor(1) as owner, ThreadPoolExecutor(1) as operator:
            held = owner.submit(heard_by, old, 1, HELD)
            scene.wait_for_number()  # an old replica has the batch, and stays until it is through
            deployed = operator.submit(scene.deploy, precision=_OTHER)
            new = of_the_other_version(scene)
            assert heard_by(new, 2, 3) == text_of(2, 3)
            wait_until(lambda: not is_answered(hasty))  # its other replica was replaced as well
            assert not held.done(), "both versions are there"
            scene.open_gate()
            assert held.result(PATIENCE_S) == text_of(1, HELD)
            deployed.result(PATIENCE_S)
        assert names_of(old)
        assert names_of(new)
        assert not names_of(old) & names_of(new)
    finally:
        scene.open_gate()
        scene.deploy()
