"""How the service starts, refuses to start, and ends; each test has a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import psutil

from bench.child import ROOT
from bench.service import CONSOLE_SCRIPT
from tests.service import Service, running_service

SAMPLE = Path(__file__).parents[3] / "app" / "samples" / "hello.wav"


def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STT_")} | settings
    return subprocess.run([CONSOLE_SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False)


def nicenesses_of(service: Service) -> set[int]:
    """Return those of all threads of the process that serves."""
    processes = [each for each in psutil.Process(service.process.pid).children(recursive=True) if each.name() != "stt-decode"]
    return {os.getpriority(os.PRIO_PROCESS, thread.id) for process in processes for thread in process.threads()}


def decoders_of(service: Service) -> list[psutil.Process]:
    return [child for child in psutil.Process(service.process.pid).children(recursive=True) if child.name() == "stt-decode"]


def test_health_answers_while_the_model_loads_and_sigterm_ends_with_0(tmp_path: Path) -> None:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    with told, running_service(settings={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as service:
        service.wait_until_alive()
        early = httpx.get(f"{service.url}/readyz")
        assert early.status_code == 503, "the model cannot have loaded by the first answer"
        assert early.json()["error"]["code"] == "not_ready"
        assert int(early.headers["retry-after"]) > 0
        refused = httpx.post(f"{service.url}/v1/audio/transcriptions", files={"file": b"RIFF"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        service.wait_until_ready()
        told.settimeout(30)
        assert told.recv(100) == b"READY=1"
        decoders = decoders_of(service)
        assert 1 <= len(decoders) <= 4
        niceness = os.getpriority(os.PRIO_PROCESS, service.process.pid)
        assert nicenesses_of(service) == {niceness, min(19, niceness + 5)}  # the model steps back behind whatever answers
        assert {decoder.nice() for decoder in decoders} == {niceness}
        assert service.stop() == 0
        assert told.recv(100) == b"STOPPING=1"
        assert psutil.wait_procs(decoders, 10)[1] == []
        (ready,) = [json.loads(line) for line in service.log.splitlines() if '"service_ready"' in line]
        assert ready["start_s"] > 0
        assert ready["load_s"] > 0
        assert "Traceback" not in service.log
        assert "decode_process" not in service.log


def test_the_worker_multiplies_on_one_thread_and_never_looks_through_again_what_was_loaded() -> None:
    settings = {"STT_RECOGNIZER": "tests.e2e.alone.mirror:mirror", "PYTHONPATH": str(ROOT)}
    with running_service(settings=settings) as service:
        service.wait_until_ready()
        with SAMPLE.open("rb") as file:
            answer = httpx.post(f"{service.url}/v1/audio/transcriptions", files={"file": file}, timeout=60)
    objects, threads = re.fullmatch(r"(\d+) objects, (\d+) threads", answer.json()["text"]).groups()  # type: ignore[union-attr]
    assert int(objects) > 10_000
    assert int(threads) == 1


def test_sigterm_while_the_model_loads_ends_with_0() -> None:
    with running_service() as service:
        service.wait_until_alive()
        while not (decoders := decoders_of(service)):
            time.sleep(0.01)
        assert service.stop() == 0
        assert psutil.wait_procs(decoders, 10)[1] == []
        assert "Traceback" not in service.log


def test_a_model_that_is_not_there_ends_the_service_with_a_clear_message(tmp_path: Path) -> None:
    missing = tmp_path / "missing.nemo"
    with running_service(settings={"STT_MODEL": str(missing)}) as service:
        assert service.process.wait(120) == 1
        assert str(missing) in service.log
        assert "STT_MODEL" in service.log
        assert "Traceback" not in service.log


def test_wrong_settings_are_all_named_before_anything_starts() -> None:
    ended = run("serve", "--device", "abacus", STT_PROT="1", STT_PORT="99999")
    assert ended.returncode == 2
    assert "STT_PROT: no such setting; did you mean STT_PORT?" in ended.stderr
    assert "STT_PORT: " in ended.stderr
    assert "--device: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--host", "127.0.0.2", "--port", str(port), STT_MODEL="bundled")
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.2:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_prints_what_it_heard_and_stays_until_ctrl_c() -> None:
    key = "sk-nobody-else-may-read"
    with running_service(command="demo", settings={"STT_API_KEYS": key}) as service:
        service.wait_until_ready()
        deadline_s = time.monotonic() + 60
        while "stays up" not in service.log and time.monotonic() < deadline_s:
            time.sleep(0.05)
        heard = next(line.removeprefix("heard: ") for line in service.log.splitlines() if line.startswith("heard: "))
        headers = {"authorization": f"Bearer {key}"}
        asked = httpx.post(
            f"{service.url}/v1/audio/transcriptions", files={"file": SAMPLE.read_bytes()}, headers=headers, timeout=60
        )
        assert heard == asked.json()["text"]
        assert httpx.get(f"{service.url}/v1/models").status_code == 401
        assert 'curl -H "Authorization: Bearer $KEY" -F file=@' in service.log
        assert key not in service.log
        assert f"{service.url}/v1/audio/transcriptions" in service.log
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(60) == 0
        assert "Traceback" not in service.log
