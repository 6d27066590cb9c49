"""A Ray cluster of several nodes on this machine, as `ray.cluster_utils` starts it, and its processes at hand."""

import atexit
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import psutil

from app.adapters.ray.cluster import RAY_VARIABLES

from .child import ROOT

_STARTS: Final = 4
_REPLICA: Final = "ray::ServeReplica"


class Nodes:
    """A head that holds no replica, and nodes of one core and one GPU, by what Ray is told, which come and go."""

    def __init__(self, n: int, variables: Mapping[str, str]) -> None:
        """Start the head and `n` nodes; Ray must be installed, and not yet imported.

        Args:
            variables: What every process of the cluster, and those that this one starts, finds in its environment.
        """
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        os.environ.update({**RAY_VARIABLES, **quiet, "PYTHONPATH": str(ROOT), **variables})
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(shutdown_at_exit=False)  # else nodes can be started on the main thread alone
        atexit.register(self.close)  # also where starting or ending them is interrupted
        self._add(num_cpus=0, include_dashboard=False)
        for _ in range(n):
            self.add()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def workers(self) -> list[Any]:
        """The nodes beside the head."""
        return list(self._cluster.worker_nodes)

    def add(self) -> None:
        """Start another node; on any thread."""
        self._add(num_cpus=1, num_gpus=1)

    def kill(self, node: Any) -> None:
        """End all processes of a node at once."""
        self._cluster.remove_node(node, allow_graceful=False)

    def node_of(self, pid: int) -> Any:
        """Return the node that a replica's process runs on."""
        raylet = psutil.Process(pid).ppid()
        return next(node for node in self.workers if raylet in self._raylets(node))

    def replicas(self) -> list[psutil.Process]:
        """Return the processes of all replicas, those that only start or end among them."""
        raylets = [psutil.Process(pid) for node in self.workers for pid in self._raylets(node)]
        return [child for raylet in raylets for child in raylet.children() if _is_replica(child)]

    def close(self) -> None:
        """End all nodes, and what is left of any whose start failed or was interrupted."""
        import ray

        self._cluster.shutdown()
        place = ray.__path__[0]
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(place in argument for argument in child.cmdline()):
                    child.kill()
        atexit.unregister(self.close)

    @staticmethod
    def _raylets(node: Any) -> list[int]:
        return [one.process.pid for one in node.all_processes["raylet"]]

    def _add(self, **arguments: Any) -> None:
        for left in reversed(range(_STARTS)):  # Ray gives a node 30 s, which a busy machine may need more than
            try:
                self._cluster.add_node(**arguments)
            except Exception:
                if not left:
                    raise
            else:
                return


def _is_replica(process: psutil.Process) -> bool:
    try:
        return str(process.cmdline()[0]).startswith(_REPLICA)
    except (psutil.NoSuchProcess, IndexError):
        return False
