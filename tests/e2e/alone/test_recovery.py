"""Whatever ends a process of the service: it is back by itself, or gone for good, and leaves nothing behind.

Each test has a service of its own, as Granian gives up where two workers end within 5.5 s.
"""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from bench.service import RULER
from bench.troubled_ruler import GATE, HELD, LOST_DEVICE, POISON, numbers_left, text_of
from tests.ruler import ask, family_of, gone, opened, wait_until, worker_of
from tests.service import Service, running_service


def wait_until_back(service: Service, before: psutil.Process) -> None:
    """Wait until the worker is gone and another one is ready."""
    wait_until(lambda: gone([before]))
    service.wait_until_ready()


def test_a_worker_whose_model_is_lost_answers_everybody_and_is_replaced_and_one_with_a_poisonous_clip_is_not() -> None:
    with running_service(program=RULER) as service:
        service.wait_until_ready()
        before = worker_of(service)
        assert ask(service, POISON).json()["error"]["code"] == "internal_error"
        assert ask(service, 1, 2).json()["text"] == text_of(1, 2)
        assert worker_of(service) == before
        with opened(service, "/ws?encoding=pcm_f32le") as live:
            answer = ask(service, LOST_DEVICE)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
            assert int(answer.headers["retry-after"]) >= 1
            for _message in live:
                pass  # until it is closed, in order
            assert live.close_code == 1001
        wait_until_back(service, before)
        assert ask(service, 3, 4).json()["text"] == text_of(3, 4)


def test_a_killed_worker_is_replaced_and_a_killed_main_process_leaves_a_worker_that_finishes(tmp_path: Path) -> None:
    uploads, gate = tmp_path / "uploads", tmp_path / "gate"
    uploads.mkdir()
    settings = {"TMPDIR": str(uploads), GATE: str(gate)}
    with running_service(program=RULER, settings=settings) as service, ThreadPoolExecutor(1) as pool:
        service.wait_until_ready()
        before = worker_of(service)
        family = family_of(before)
        before.kill()
        wait_until(lambda: gone(family))
        wait_until_back(service, before)
        assert ask(service, 5).json()["text"] == text_of(5)
        assert list(uploads.iterdir()) == []
        assert len(psutil.Process(service.process.pid).children()) == 1

        family = family_of(worker_of(service))
        held = pool.submit(ask, service, HELD)
        wait_until(lambda: bool(numbers_left(gate)))
        service.process.send_signal(signal.SIGKILL)
        wait_until(lambda: "the main process is gone" in service.log)
        gate.touch()
        assert held.result().json()["text"] == text_of(HELD)
        wait_until(lambda: gone(family))
        assert list(uploads.iterdir()) == []
        assert "Traceback" not in service.log
