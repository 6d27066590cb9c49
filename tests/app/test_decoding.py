"""Uploads through the application and real processes that decode."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from dependency_injector import providers
from litestar.testing import TestClient

from app.adapters.processes.normalizer import ProcessNormalizer
from app.container import Container
from app.entrypoints.app import create_app
from app.settings import Settings
from app.testing.fakes import FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer
from tests.adapters.decoding import decoder_of, pool, recording
from tests.adapters.traps import Trap, trapped
from tests.app.service import PATIENCE_S, TEXT, Client, check_envelope, send, serving, wav


@contextmanager
def as_wired(settings: Settings) -> Iterator[tuple[Client, Container]]:
    """The application with the normaliser it has by itself."""
    container = Container(settings=settings)
    container.detector.override(providers.Object(FakeVoiceDetector()))
    container.recognizer.override(providers.Object(FakeRecognizer(TEXT)))
    with TestClient(create_app(container)) as client:
        container.engine().loaded.result(PATIENCE_S)
        yield client, container


@pytest.fixture(scope="module")
def trapping() -> Iterator[Client]:
    with pool(processes=2) as (normalizer, _), serving(normalizer=normalizer) as (client, _):
        yield client


def test_the_service_decodes_in_a_process_of_its_own_and_ends_it() -> None:
    with as_wired(Settings(decode_processes=1, decode_memory_mib=100)) as (client, container):
        normalizer = container.normalizer()
        assert isinstance(normalizer, ProcessNormalizer)
        first = decoder_of(normalizer)
        assert send(client, recording(1)).json()["text"] == TEXT
        check_envelope(send(client, b"no sound at all" * 100), 400, code="invalid_value", param="file")
        first.kill()
        assert send(client, recording(2)).json()["text"] == TEXT
        second = decoder_of(normalizer)
    assert not first.is_running()
    assert not second.is_running()


def test_a_decoder_that_says_nothing_for_decode_stall_s_is_ended_and_its_file_refused() -> None:
    with as_wired(Settings(decode_processes=1, decode_stall_s=0.5)) as (client, container):
        normalizer = container.normalizer()
        assert isinstance(normalizer, ProcessNormalizer)
        silent = decoder_of(normalizer)
        silent.suspend()
        told = check_envelope(send(client), 400, code="invalid_value", param="file")
        assert told == "decoding the file came to no end"
        silent.wait(PATIENCE_S)


def test_where_no_process_that_decodes_can_be_started_readiness_and_its_metric_say_so() -> None:
    with serving() as (client, container):
        assert client.get("/readyz").status_code == 200
        container.decodes.override(providers.Object(False))
        told = check_envelope(client.get("/readyz"), 503, kind="server_error", code="overloaded")
        assert "no process that decodes files can be started" in told
        assert "stt_ready 0.0" in client.get("/metrics").text
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("crash", "the file makes its decoder fail"),
        ("eat", "decoding the file takes more memory than the limit of 64 MiB"),
    ],
)
def test_what_a_file_does_to_its_decoder_is_one_400_and_nothing_else(trapping: Client, deed: str, told: str) -> None:
    bad = trapped(recording(1), Trap(does=deed, after_s=2))
    with ThreadPoolExecutor(5) as threads:
        good = [threads.submit(send, trapping, recording(seed)) for seed in range(2)]
        refused = threads.submit(send, trapping, bad).result(PATIENCE_S)
        good += [threads.submit(send, trapping, recording(seed)) for seed in range(2)]
        assert check_envelope(refused, 400, code="invalid_value", param="file") == told
        assert [answer.result(PATIENCE_S).json()["text"] for answer in good] == [TEXT] * 4


def test_a_failure_nobody_foresaw_is_a_500_that_tells_nothing(trapping: Client) -> None:
    answer = send(trapping, trapped(recording(1), Trap(does="fail", after_s=2)))
    message = check_envelope(answer, 500, kind="server_error", code="internal_error")
    assert "nobody foresaw" not in message
    assert send(trapping, wav()).json()["text"] == TEXT
