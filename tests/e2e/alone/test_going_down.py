"""The real service at SIGTERM, with everything under way that can be; and what a second signal does."""

import base64
import json
import signal
import socket as sockets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from app.domain.audio import MODEL_RATE_HZ
from bench.service import RULER
from bench.troubled_ruler import GATE, HELD, float_wav, numbers_left, said, text_of
from tests.ruler import PATH, PATIENCE_S, ask, family_of, gone, opened, rest_of, wait_until, wait_until_heard, worker_of
from tests.service import Service, running_service

TRANSCRIPT: Final = "conversation.item.input_audio_transcription.completed"


def goes_down(service: Service) -> bool:
    """Whether readiness is off because of that."""
    answer = httpx.get(f"{service.url}/readyz", timeout=PATIENCE_S)
    return answer.status_code == 503 and answer.json()["error"]["code"] == "overloaded"


def requests_open(service: Service) -> float:
    """How many the service has begun and not answered, this one among them."""
    numbers = httpx.get(f"{service.url}/metrics", timeout=PATIENCE_S).text
    return next(float(line.split()[1]) for line in numbers.splitlines() if line.startswith("stt_requests_open "))


class Upload:
    """A form that is sent in two halves."""

    def __init__(self, service: Service, data: bytes) -> None:
        request = httpx.Request("POST", service.url + PATH, files={"file": data})
        self._body, where = request.read(), urlsplit(service.url)
        self._socket = sockets.create_connection((where.hostname, where.port), timeout=PATIENCE_S)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        self._socket.sendall(f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + self._body[: len(self._body) // 2])

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer; the service closes the connection after it."""
        self._socket.sendall(self._body[len(self._body) // 2 :])
        answer = b"".join(iter(lambda: self._socket.recv(65_536), b""))
        self._socket.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


def test_sigterm_finishes_what_is_under_way_and_refuses_what_comes(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    settings = {GATE: str(gate), "STT_DRAIN_S": str(PATIENCE_S)}
    with running_service(program=RULER, settings=settings) as service, ThreadPoolExecutor(1) as pool:
        service.wait_until_ready()
        family = family_of(worker_of(service))
        plain, realtime = opened(service, "/ws?encoding=pcm_f32le"), opened(service, "/v1/realtime?intent=transcription")
        plain.send(said(1, 2, 3).samples.tobytes()[: -MODEL_RATE_HZ // 10])  # no pause after it, and no finish
        wait_until_heard(plain)
        realtime.send(
            json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(range(1, 101)) * 480).decode()})
        )
        wait_until_heard(realtime)
        upload = Upload(service, float_wav(said(4, 5, 6)))
        held = pool.submit(ask, service, HELD)
        wait_until(lambda: bool(numbers_left(gate)))

        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: goes_down(service))
        refused = ask(service, 7)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["connection"] == "close"
        assert httpx.get(f"{service.url}/healthz", timeout=PATIENCE_S).json() == {"status": "ok"}
        for path in ("/ws", "/v1/realtime"):
            messages, code = rest_of(opened(service, path))
            assert (messages[-1]["error"]["code"], code) == ("overloaded", 1001)

        gate.touch()
        assert held.result().json()["text"] == text_of(HELD)
        messages, code = rest_of(plain)
        assert [message["text"] for message in messages if message.get("final")] == [text_of(1, 2, 3)]
        assert (messages[-1]["error"]["code"], code) == ("overloaded", 1001)
        messages, code = rest_of(realtime)
        assert TRANSCRIPT in [message["type"] for message in messages]
        assert (messages[-1]["error"]["code"], code) == ("overloaded", 1001)
        n_open = requests_open(service)
        late = Upload(service, float_wav(said(8)))
        wait_until(lambda: requests_open(service) > n_open)
        status, answer = upload.finish()
        assert (status, answer["text"]) == (200, text_of(4, 5, 6))
        wait_until(lambda: '"cut_off": 0' in service.log)
        status, answer = late.finish()  # after nothing that was accepted is left
        assert (status, answer["error"]["code"]) == (503, "overloaded")
        assert service.process.wait(PATIENCE_S) == 0
        assert gone(family)
        assert "Traceback" not in service.log
        assert "internal_error" not in service.log


def test_what_is_not_finished_in_time_is_told_so_and_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """The model stands still, which is no reason for anybody else to wait."""
    gate = tmp_path / "never"
    settings = {GATE: str(gate), "STT_DRAIN_S": "0.5"}
    with running_service(program=RULER, settings=settings) as service, ThreadPoolExecutor(1) as pool:
        service.wait_until_ready()
        family = family_of(worker_of(service))
        held = pool.submit(ask, service, HELD)
        wait_until(lambda: bool(numbers_left(gate)))
        with opened(service, "/ws?encoding=pcm_f32le") as live:
            live.send(said(1).samples.tobytes())
            wait_until_heard(live)
            service.process.send_signal(signal.SIGINT)
            answer = held.result()
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert rest_of(live)[1] == 1001
        assert service.process.poll() is None  # the model's thread is waited for, a while
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(PATIENCE_S) == 1
        wait_until(lambda: gone(family))
        assert "Traceback" not in service.log
