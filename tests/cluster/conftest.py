"""A Ray cluster of several nodes on this machine, with the ruler in its replicas."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.adapters.ray.cluster import RayCluster
from app.adapters.ray.recognizer import RayRecognizer
from app.container import Container, replica_cluster, replica_plan
from app.settings import Settings
from bench.cluster_nodes import Nodes
from bench.troubled_ruler import GATE, RECOGNIZER, numbers_left
from tests.ruler import wait_until

of_ray = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")


class Scene:
    """The cluster: a head that holds no replica, two nodes with room for two small ones each, and how to change that."""

    def __init__(self, gate: Path) -> None:
        self.nodes, self.gate = Nodes(2, {GATE: str(gate)}), gate
        self._made: list[RayRecognizer] = []
        self.settings = Settings(
            replicas=2,
            ray_address=self.nodes.address,
            recognizer=RECOGNIZER,
            replica_cpus=0.5,
            replica_gpus=0.25,
            max_wait_s=20.0,
        )
        self.cluster: RayCluster = replica_cluster(self.settings)
        self.deploy()

    def deploy(self, **changed: Any) -> None:
        """Have replicas of the settings, with what has `changed`."""
        self.cluster.deploy(replica_plan(msgspec.structs.replace(self.settings, **changed)))

    def recognizer(self, **changed: Any) -> RayRecognizer:
        """Return one as the service has it; it is closed with the cluster."""
        container = Container(settings=msgspec.structs.replace(self.settings, **changed))
        made = container.recognizer()
        assert isinstance(made, RayRecognizer)
        self._made.append(made)
        return made

    def close(self) -> None:
        """End all of it; the cluster that this process joined is left last, as all of them share it."""
        for made in self._made:
            made.close()
        self.cluster.close()
        self.nodes.close()

    def wait_for_number(self) -> int:
        """Wait until a replica has left the number of its process, and return it."""
        wait_until(lambda: bool(numbers_left(self.gate)))
        return numbers_left(self.gate)[-1]

    def wait_for_replicas(self, n: int) -> None:
        wait_until(lambda: self.cluster.situation().n_running == n)

    def open_gate(self) -> None:
        self.gate.touch()

    def forget(self) -> None:
        for path in self.gate.parent.glob(f"{self.gate.name}*"):
            path.unlink()


@pytest.fixture(scope="session")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if find_spec("ray") is None:
        pytest.skip("the extra `ray` is not installed: `just cluster-test` does")
    scene = Scene(tmp_path_factory.mktemp("gate") / "gate")
    yield scene
    scene.close()


@pytest.fixture
def scene(_scene: Scene) -> Iterator[Scene]:
    """The cluster, with its gate closed."""
    _scene.forget()
    yield _scene
    _scene.open_gate()
