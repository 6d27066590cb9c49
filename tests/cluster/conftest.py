"""A Ray cluster of several nodes on this machine, with the ruler in its replicas."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import pytest

from app.adapters.ray.cluster import RayCluster
from app.adapters.ray.recognizer import RayRecognizer
from app.container import Container, replica_cluster, replica_plan
from app.settings import Settings
from tests.ruler import wait_until

ROOT: Final = Path(__file__).parents[2]
_STARTS: Final = 4


class Scene:
    """The cluster: a head that holds no replica, two nodes with room for two small ones each, and how to change that."""

    def __init__(self, gate: Path) -> None:
        from ray.cluster_utils import Cluster

        self.nodes: Any = Cluster()
        self._add(num_cpus=0, include_dashboard=False)
        self.gate = gate
        self._made: list[RayRecognizer] = []
        for _ in range(2):
            self.add_node()
        self.settings = Settings(
            replicas=2,
            ray_address=self.nodes.address,
            recognizer="tests.cluster.models:ruler",
            model=str(gate),
            replica_cpus=0.5,
            replica_gpus=0.25,
            max_wait_s=20.0,
        )
        self.cluster: RayCluster = replica_cluster(self.settings)
        self.deploy()

    def add_node(self) -> None:
        self._add(num_cpus=1, num_gpus=1)

    def _add(self, **arguments: Any) -> None:
        for left in reversed(range(_STARTS)):  # Ray gives a node 30 s, which a busy machine may need more than
            try:
                self.nodes.add_node(**arguments)
            except Exception:
                if not left:
                    raise
            else:
                return

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
        self.nodes.shutdown()

    def touched(self) -> list[int]:
        """Return the process numbers that `HELD` and `DEADLY` have left."""
        return [int(path.suffix[1:]) for path in self.gate.parent.glob(f"{self.gate.stem}.*")]

    def wait_for_touch(self) -> int:
        wait_until(lambda: bool(self.touched()))
        return self.touched()[-1]

    def node_of(self, pid: int) -> Any:
        """Return the node that a replica's process runs on."""
        raylet = psutil.Process(pid).ppid()
        return next(node for node in self.nodes.worker_nodes if raylet in [one.process.pid for one in node.all_processes["raylet"]])

    def wait_for_replicas(self, n: int) -> None:
        wait_until(lambda: self.cluster.situation().n_running == n)

    def open_gate(self) -> None:
        self.gate.touch()

    def forget(self) -> None:
        for path in self.gate.parent.glob(f"{self.gate.stem}*"):
            path.unlink()


@pytest.fixture(scope="session")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    # Before Ray is imported, which reads them. The nodes inherit them.
    os.environ.update({"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_AUTO_CONNECT": "0"})
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    pytest.importorskip("ray", reason="the extra `ray` is not installed: `just cluster-test` does")
    scene = Scene(tmp_path_factory.mktemp("gate") / "gate")
    yield scene
    scene.close()


@pytest.fixture
def scene(_scene: Scene) -> Iterator[Scene]:
    """The cluster, with its gate closed."""
    _scene.forget()
    yield _scene
    _scene.open_gate()
