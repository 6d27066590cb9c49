"""Replicas on a cluster keep the promises of a recogniser in this process."""

import signal

import msgspec
import numpy as np
import pytest

from app import container
from app.adapters.ray.cluster import APPLICATION
from app.domain.audio import Clip
from app.domain.ports import Options, Recognizer
from app.testing.contracts import RecognizerContract
from app.testing.ruler import RULER_FACTS, RulerWord, encode_words
from bench.troubled_ruler import RECOGNIZER, said, text_of
from tests.ruler import wait_until

from .conftest import Scene, of_ray

pytestmark = of_ray


@pytest.mark.cluster
class TestReplicas(RecognizerContract):
    @pytest.fixture
    def recognizer(self, scene: Scene) -> Recognizer:
        return scene.recognizer()

    @pytest.fixture
    def spoken(self) -> Clip:
        starts = range(1_000, 40_000, 7_000)
        return encode_words([RulerWord(number=i, start_sample=at, n_samples=5_001) for i, at in enumerate(starts)], 3.0)


def test_the_replicas_of_the_settings_are_found_and_asked(scene: Scene) -> None:
    recognizer = scene.recognizer(replicas=3)
    assert recognizer.facts == msgspec.structs.replace(RULER_FACTS, max_concurrent_batches=3, device="ray: cpu")
    assert [found.text for found in recognizer.recognize([said(1, 2), said(7)], [Options()] * 2)] == [text_of(1, 2), text_of(7)]


@pytest.mark.cluster
@pytest.mark.usefixtures("scene")
def test_no_folder_is_sent_to_other_machines_where_uv_has_started_this_one() -> None:
    import ray

    assert ray.get_runtime_context().runtime_env == {}


@pytest.mark.cluster
def test_samples_are_laid_down_once_and_read_in_place(scene: Scene) -> None:
    import ray

    laid = scene.cluster.put([said(1).samples])
    (first,), (again,) = ray.get(laid), ray.get(laid)
    assert np.array_equal(first, said(1).samples)
    assert not first.flags.owndata
    assert np.shares_memory(first, again)


@pytest.mark.cluster
@pytest.mark.usefixtures("scene")
def test_a_process_that_has_joined_ends_on_sigterm_as_before() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.cluster
@pytest.mark.usefixtures("scene")
def test_replicas_have_the_processors_of_the_settings() -> None:
    import ray

    held = {name: ray.cluster_resources()[name] - ray.available_resources()[name] for name in ("CPU", "GPU")}
    assert held == {"CPU": pytest.approx(2 * 0.5), "GPU": pytest.approx(2 * 0.25)}


@pytest.mark.cluster
def test_a_configuration_of_ray_serve_starts_the_same_replicas(scene: Scene) -> None:
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    settings = {
        "STT_REPLICAS": "1", "STT_RECOGNIZER": RECOGNIZER, "STT_REPLICA_CPUS": "0.5", "STT_PRECISION": "float16",
    }  # fmt: skip
    application = {
        "name": APPLICATION, "route_prefix": None, "import_path": f"{container.__name__}:replica_application", "args": settings,
    }  # fmt: skip
    try:
        _get_global_client().deploy_apps(ServeDeploySchema(applications=[application]), _blocking=True)  # as KubeRay has it done
        wait_until(lambda: scene.cluster.situation().states == {"RUNNING": 1})
        recognizer = scene.recognizer()
        assert recognizer.facts.precision == "float16"
        assert [found.text for found in recognizer.recognize([said(1, 2)], [Options()])] == [text_of(1, 2)]
    finally:
        scene.deploy()
