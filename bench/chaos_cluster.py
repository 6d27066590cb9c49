"""Is everybody answered, and with their own words, while replicas and their machines are killed? `just chaos-cluster`

`python -m bench.chaos_cluster` starts a Ray cluster of several nodes on this machine, replicas of the ruler on it, and the service,
and sends thousands of requests; meanwhile it kills replicas and nodes, has replicas deployed anew, and ends and starts the service.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil

from app.adapters.ray.cluster import RayCluster, TransportError
from app.container import replica_cluster, replica_plan
from app.setting_sources import read_settings
from app.settings import Settings

from .asks import ruler_asks
from .chaos import SEED, chosen, tormented
from .chaos_report import show
from .child import BenchError
from .cluster_nodes import Nodes
from .flags import console, guarded
from .service import RULER
from .troubled_ruler import DEAD_THREAD, DEADLY, LOST_DEVICE, RECOGNIZER, RUN_S, float_wav, said
from .troubles import Done, Trouble, Troubles
from .victim import Victim

_NODES: Final = 3
_REPLICAS: Final = 3  # there is room for them on two nodes
_RUN_S: Final = "0.05"  # of the ruler's batches: something is under way whenever something happens
_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 120.0
_TOLD: Final = ("batch_lost", "batch_given_up")  # what the service logs


class ClusterTroubles(Troubles):
    """Makes trouble for replicas. A trouble is over when all of them run again, and the service is ready."""

    def __init__(self, victim: Victim, nodes: Nodes, cluster: RayCluster, settings: Settings) -> None:
        super().__init__(victim, seed=SEED)
        self._nodes, self._cluster, self._settings = nodes, cluster, settings

    async def kill_replica(self) -> Done:
        at_s = time.monotonic()
        self._end(self._chance.sample(self._nodes.replicas(), 1))
        return await self._whole("killed replica", at_s)

    async def kill_replicas(self) -> Done:
        at_s = time.monotonic()
        self._end(self._nodes.replicas())
        return await self._whole("killed all replicas", at_s)

    async def kill_node(self) -> Done:
        """Kill a machine of those that hold replicas; another one comes in its place."""
        at_s = time.monotonic()
        node = self._nodes.node_of(self._chance.choice(self._nodes.replicas()).pid)
        await asyncio.to_thread(self._nodes.kill, node)
        await asyncio.to_thread(self._nodes.add)
        return await self._whole("killed node", at_s)

    async def deploy(self) -> Done:
        """Have all replicas replaced, as for an update; each finishes its batch."""
        at_s = time.monotonic()
        self._settings = msgspec.structs.replace(self._settings, stuck_s=self._settings.stuck_s + 1)
        await asyncio.to_thread(self._cluster.deploy, replica_plan(self._settings))
        return await self._whole("deployed anew", at_s)

    async def lose_device(self) -> Done:
        return await self._by_word("lost devices", LOST_DEVICE)

    async def kill_model_thread(self) -> Done:
        return await self._by_word("dead model threads", DEAD_THREAD)

    async def end_processes(self) -> Done:
        return await self._by_word("deadly clip", DEADLY)

    def all(self) -> dict[str, Trouble]:
        return {
            "replica": self.kill_replica, "node": self.kill_node, "replicas": self.kill_replicas, "deploy": self.deploy,
            "device": self.lose_device, "thread": self.kill_model_thread, "deadly": self.end_processes,
            "worker": self.kill_worker, "stop": self.stop,
        }  # fmt: skip

    async def _by_word(self, name: str, number: int) -> Done:
        at_s = time.monotonic()
        async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
            answer = await client.post(f"{self._victim.url}/v1/audio/transcriptions", files={"file": float_wav(said(number))})
        return await self._whole(name, at_s, note=f"answered with {answer.status_code}")

    async def _whole(self, name: str, at_s: float, note: str = "") -> Done:
        while not await asyncio.to_thread(self._all_run):
            if time.monotonic() - at_s > _PATIENCE_S:
                raise BenchError(f"after {name} not all replicas ran again within {_PATIENCE_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
        return await self._ready(name, at_s, note=note)

    def _all_run(self) -> bool:
        with suppress(TransportError):
            return len(self._nodes.replicas()) == self._cluster.situation().n_running == _REPLICAS
        return False

    @staticmethod
    def _end(replicas: Collection[psutil.Process]) -> None:
        for replica in replicas:
            with suppress(psutil.NoSuchProcess):
                replica.kill()


def main() -> int:
    """Run, print, and return 0 if everybody was answered and nothing is left."""
    parser = argparse.ArgumentParser(
        prog="just chaos-cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=2_000, help="Default: 2000.")
    parser.add_argument("--only", action="append", default=[], help="A trouble, as `node`; may be given again. Default: all.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, closing(Nodes(_NODES, {RUN_S: _RUN_S})) as nodes:
        variables = {
            "STT_REPLICAS": str(_REPLICAS), "STT_RAY_ADDRESS": nodes.address, "STT_RECOGNIZER": RECOGNIZER,
            "STT_REPLICA_CPUS": "0.5",
        }  # fmt: skip
        settings = read_settings(variables)
        with closing(replica_cluster(settings)) as cluster:
            cluster.deploy(replica_plan(settings))
            victim = Victim(RULER, variables, uploads=Path(folder))
            troubles = ClusterTroubles(victim, nodes, cluster, settings)
            plan = chosen(troubles.all(), given.only)
            verdict = tormented(victim, lambda: ruler_asks(given.requests, seed=SEED), troubles, plan, with_ruler=True)
    show(f"{_REPLICAS} replicas of the ruler on {_NODES} nodes", verdict, console())
    told = Counter(event["event"] for event in victim.events if event.get("event") in _TOLD)
    console().print(", ".join(f"{name}: {told[name]}" for name in _TOLD))
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(guarded("chaos-cluster", main))
