"""`parakeet-stt replicas`: start, count and end the replicas on a Ray cluster, which services then hand batches to."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...container import replica_cluster, replica_plan
from ...domain.errors import SpeechError
from ...settings import Settings

_LOOK_S: Final = 0.5


def replicas(action: str, settings: Settings) -> int:
    """Do `deploy`, `status` or `delete`; return 0, or 1 where it failed or, of `status`, where no replica runs."""
    act: dict[str, Callable[[Any, Settings], int]] = {"deploy": _deploy, "status": _status, "delete": _delete}
    try:
        cluster = replica_cluster(settings)
        try:
            return act[action](cluster, settings)
        finally:
            cluster.close()
    except SpeechError as failure:
        print(f"parakeet-stt: {failure}", file=sys.stderr)
        return 1


def _deploy(cluster: Any, settings: Settings) -> int:
    plan = replica_plan(settings)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    cluster.join()  # here, as threads share what is joined
    with ThreadPoolExecutor(1) as deploying, Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("replicas", total=plan.least_replicas)
        deployed = deploying.submit(cluster.deploy, plan)
        while wait([deployed], _LOOK_S).not_done:
            with suppress(SpeechError):  # whether it can be told is not whether it works
                situation = cluster.situation()
                progress.update(bar, completed=min(situation.n_running, plan.least_replicas), description=situation.status)
        deployed.result()
    return _status(cluster, settings)


def _status(cluster: Any, _settings: Settings) -> int:
    cluster.join()
    situation = cluster.situation()
    counted = ", ".join(f"{n} {state}" for state, n in sorted(situation.states.items())) or "no replica"
    print(f"{situation.status}: {counted}")
    if situation.message:
        print(situation.message, file=sys.stderr)
    return 0 if situation.n_running else 1


def _delete(cluster: Any, _settings: Settings) -> int:
    cluster.delete()
    return 0
