"""The head of the cluster is lost, and comes back at its address: the service answers again by itself."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from app.adapters.ray.cluster import RAY_VARIABLES
from bench.child import ROOT
from bench.service import CONSOLE_SCRIPT, RULER, free_port, other_variables
from bench.troubled_ruler import RECOGNIZER, text_of
from tests.ruler import PATIENCE_S, ask, family_of, wait_until
from tests.service import Service, running_service

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")]
_RAY: Final = Path(sys.executable).parent / "ray"
_OF_RAY: Final = {  # a process that has lost the head waits for it for a minute by default
    **RAY_VARIABLES, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
}  # fmt: skip


@contextmanager
def head(port: int) -> Iterator[None]:
    """Run a head, which holds replicas too; all its processes are killed on leaving."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:  # sockets need a short path
        command = [
            "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}",
        ]  # fmt: skip
        process = subprocess.Popen([_RAY, *command], env=_environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            for one in family_of(psutil.Process(process.pid)):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()


def _environment(settings: dict[str, str]) -> dict[str, str]:
    return {**other_variables(), **_OF_RAY, **settings}


def _deploy(settings: dict[str, str]) -> None:
    command = [str(CONSOLE_SCRIPT), "replicas", "deploy"]
    wait_until(lambda: subprocess.run(command, env=_environment(settings), capture_output=True, check=False).returncode == 0)


def _is_ready(service: Service) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{service.url}/readyz", timeout=PATIENCE_S).status_code == httpx.codes.OK
    return False


def test_after_the_head_was_lost_and_replicas_are_deployed_anew_the_service_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _OF_RAY.items():
        monkeypatch.setitem(os.environ, name, value)
    port = free_port()
    settings = {
        "STT_REPLICAS": "2", "STT_REPLICA_CPUS": "0.5", "STT_RECOGNIZER": RECOGNIZER, "STT_RAY_ADDRESS": f"127.0.0.1:{port}",
    }  # fmt: skip
    with running_service(program=RULER, settings=settings) as service:
        service.wait_until_alive()
        with head(port):
            _deploy(settings)
            wait_until(lambda: _is_ready(service))
            assert ask(service, 1, 2).json()["text"] == text_of(1, 2)
        wait_until(lambda: not _is_ready(service))
        with head(port):
            _deploy(settings)
            wait_until(lambda: _is_ready(service))
            assert ask(service, 3, 4).json()["text"] == text_of(3, 4)
        assert "Traceback" not in service.log
