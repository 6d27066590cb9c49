"""`parakeet-stt replicas` as an operator types it, and the bundled model on two replicas."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from app.domain.ports import Options, Recognizer
from bench.child import ROOT
from bench.service import CONSOLE_SCRIPT, other_variables
from tests.recordings import recordings
from tests.ruler import PATH, PATIENCE_S, wait_until
from tests.service import running_service

from .conftest import Scene, of_ray

pytestmark = [pytest.mark.cluster, of_ray]
_MOVES: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # what a terminal takes for colours, and for steps of its cursor


@pytest.fixture
def variables(scene: Scene) -> Iterator[dict[str, str]]:
    """Settings of two replicas with the bundled model; the ruler comes back afterwards."""
    yield {"STT_MODEL": "bundled", "STT_REPLICAS": "2", "STT_REPLICA_CPUS": "0.5", "STT_RAY_ADDRESS": scene.nodes.address}
    scene.deploy()


def typed(action: str, variables: dict[str, str]) -> tuple[int, str]:
    """Run the command on a terminal; return its status and the text that the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**other_variables(), **variables, "TERM": "xterm"}
    process = subprocess.Popen(
        [CONSOLE_SCRIPT, "replicas", action], env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b"".join(_read(ours))
    os.close(ours)
    return process.wait(PATIENCE_S), _MOVES.sub("", shown.decode())


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65_536)
        except OSError:  # nobody writes any more
            return


def test_replicas_are_deployed_counted_asked_and_deleted(variables: dict[str, str], bundled_recognizer: Recognizer) -> None:
    status, shown = typed("deploy", variables)
    assert (status, shown.splitlines()[-1]) == (0, "RUNNING: 2 RUNNING")
    assert "0/2" in shown, "it shows how many run"
    assert "1/2" in shown or "2/2" in shown
    assert typed("status", variables) == (0, "RUNNING: 2 RUNNING\r\n")

    spoken = recordings()[0]
    said = bundled_recognizer.recognize([spoken.clip], [Options()])[0].text
    with running_service(settings=variables) as service:
        service.wait_until_ready()
        answer = httpx.post(
            service.url + PATH, files={"file": (ROOT / "tests" / "data" / f"{spoken.name}.flac").read_bytes()}, timeout=PATIENCE_S
        )
        assert (answer.json()["text"], bool(said)) == (said, True)
        wait_until(lambda: "stt_replicas_running 2.0" in httpx.get(f"{service.url}/metrics").text)  # looked up every second

    assert typed("delete", variables) == (0, "")
    status, shown = typed("status", variables)
    assert (status, shown) == (1, "NOT_DEPLOYED: no replica\r\n")
