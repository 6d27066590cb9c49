"""The application while it goes down: what is under way is finished, what comes is refused, and all are told."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final

import httpx
import msgspec
import pytest
from litestar.testing import TestClient, WebSocketTestSession
from structlog.testing import capture_logs

from app.domain.audio import Clip
from app.domain.ports import Options, RecognizerFacts
from app.domain.transcript import Transcript
from app.entrypoints.app import create_app
from app.entrypoints.drain import Drain
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .exchange import exchange
from .live import numbers_of, rest_of, shorts, wait_until
from .realtime import PATH, SAMPLES_16K, TRANSCRIPT, talking
from .service import PATIENCE_S, TEXT, TRANSCRIPTIONS, Client, check_envelope, make_container, send, tone, wav

PAGE: Final = "https://app.example"


class AllButTheFirst(GatedRecognizer):
    """Stands still in every batch but the first, of one window of five seconds; `entered` tells of the second."""

    _n_batches = 0

    @property
    def facts(self) -> RecognizerFacts:
        return msgspec.structs.replace(super().facts, batch_padded_s=5.0)

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        self._n_batches += 1
        return self._inner.recognize(clips, options) if self._n_batches == 1 else super().recognize(clips, options)


class GoingDown:
    """The application with its model standing still until `gated.let_go` is set."""

    def __init__(self, client: Client, drain: Drain, gated: GatedRecognizer) -> None:
        self.client, self.gated, self.drain = client, gated, drain

    def begin(self, *, within_s: float = PATIENCE_S) -> None:
        async def begin() -> None:
            self.drain.begin(within_s=within_s)

        with self.client.portal() as portal:
            portal.call(begin)

    def wait(self) -> int:
        """Return what is left under way at the end."""
        with self.client.portal() as portal:
            return portal.call(self.drain.wait)


@contextmanager
def serving(settings: Settings | None = None, gate: type[GatedRecognizer] = GatedRecognizer) -> Iterator[GoingDown]:
    drain, gated = Drain(farewell_s=0.05), gate(FakeRecognizer(TEXT))
    container = make_container(settings or Settings(), lambda: gated)
    with TestClient(create_app(container, drain=drain)) as client:
        container.engine().loaded.result(PATIENCE_S)
        try:
            yield GoingDown(client, drain, gated)
        finally:
            gated.let_go.set()


def test_new_work_is_refused_and_who_watches_is_answered() -> None:
    with serving(Settings(cors_origins=(PAGE,))) as service:
        client = service.client
        assert client.get("/readyz").status_code == 200
        assert "stt_ready 1.0" in client.get("/metrics").text
        service.begin()
        for answer in (
            client.get("/readyz"),
            send(client),
            client.get("/v1/models"),
            client.get("/nothing", headers={"origin": PAGE}),
        ):
            assert "going down" in check_envelope(answer, 503, kind="server_error", code="overloaded")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["connection"] == "close"
            assert answer.headers["x-request-id"]
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert client.get("/healthz").json() == {"status": "ok"}
        assert "stt_ready 0.0" in client.get("/metrics").text
        assert service.wait() == 0


def test_a_request_under_way_is_answered_whatever_comes_between() -> None:
    with serving() as service, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(send, service.client)
        assert service.gated.entered.wait(PATIENCE_S)
        service.begin()
        assert send(service.client).status_code == 503
        service.gated.let_go.set()
        answer = asked.result(PATIENCE_S)
        assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
        assert answer.headers["connection"] == "close"
        assert service.wait() == 0


def test_a_request_that_is_not_finished_in_time_is_told_so() -> None:
    with serving() as service, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(send, service.client)
        assert service.gated.entered.wait(PATIENCE_S)
        service.begin(within_s=0.01)
        check_envelope(asked.result(PATIENCE_S), 503, kind="server_error", code="overloaded")
        assert service.wait() == 0  # though the model still stands still


def test_a_stream_that_is_not_finished_in_time_ends_with_an_error() -> None:
    form = httpx.Request("POST", f"http://test{TRANSCRIPTIONS}", files={"file": wav(30)}, data={"stream": "true"})
    with serving(Settings(single_pass_s=5, window_s=5), AllButTheFirst) as service, service.client.portal() as portal:
        begin = partial(service.drain.begin, within_s=0.01)
        answer = portal.call(partial(exchange, service.client.app, form, on_body=begin))  # with the first event
    events = [json.loads(line.removeprefix("data: ")) for line in answer.body.decode().splitlines() if line]
    assert answer.status == 200
    assert events[0]["type"] == "transcript.text.delta"
    assert events[-1]["error"]["code"] == "overloaded"


def said_to(session: WebSocketTestSession) -> None:
    """Speak without a pause at the end, and wait until it is heard: a message that is wrong is answered after it."""
    session.send_bytes(shorts(tone(1.0)))
    session.send_json({"type": "are you there"})
    assert "error" in session.receive_json(timeout=PATIENCE_S)


def test_live_sessions_get_what_they_said_and_are_closed_with_1001() -> None:
    with serving() as service, capture_logs() as logs:
        client = service.client
        with client.websocket_connect("/ws") as plain, talking(client, f"{PATH}") as realtime:
            said_to(plain)
            realtime.update(SAMPLES_16K)
            realtime.append(tone(1.0))
            realtime.until("input_audio_buffer.speech_started")
            service.begin()
            service.gated.let_go.set()
            heard = rest_of(plain)
            ended = realtime.end()
        assert service.wait() == 0
        wait_until(lambda: len([event for event in logs if event["event"] == "live_session_finished"]) == 2)
    assert (heard.texts, heard.code) == ([TEXT], 1001)
    assert [(error["type"], error["code"]) for error in heard.errors] == [("server_error", "overloaded")]
    assert "going down" in heard.reason
    assert [event["transcript"] for event in realtime.told if event["type"] == f"{TRANSCRIPT}.completed"] == [TEXT]
    assert ended == ("overloaded", 1001, "server_error.overloaded")
    assert {event["outcome"] for event in logs if event["event"] == "live_session_finished"} == {"going_down"}


def test_a_live_session_whose_texts_do_not_come_in_time_is_closed_with_1001_all_the_same() -> None:
    with serving() as service, service.client.websocket_connect("/ws") as session:
        said_to(session)
        service.begin(within_s=0.2)
        heard = rest_of(session)
        assert (heard.texts, heard.code) == ([], 1001)
        assert heard.errors[-1]["code"] == "overloaded"


def test_a_live_session_that_had_finished_by_itself_ends_as_ever() -> None:
    with serving() as service, service.client.websocket_connect("/ws") as session:
        session.send_bytes(shorts(tone(1.0)))
        session.send_json({"type": "finish"})
        assert service.gated.entered.wait(PATIENCE_S)
        service.begin()
        service.gated.let_go.set()
        heard = rest_of(session)
        assert (heard.texts, heard.code, heard.errors) == ([TEXT], 1000, [])


@pytest.mark.parametrize("path", ["/ws", PATH])
def test_a_new_socket_is_told_why_it_is_refused(path: str) -> None:
    with serving() as service:
        service.begin()
        with service.client.websocket_connect(path) as session:
            heard = rest_of(session)
        assert heard.code == 1001
        assert heard.messages[-1]["error"]["code"] == "overloaded"
        assert numbers_of(service.client)["stt_live_sessions"] == 0


@pytest.mark.parametrize(("finishes", "status"), [(True, 200), (False, 503)])
def test_an_upload_that_is_half_there_may_be_finished_and_is_told_if_its_time_is_over(finishes: bool, status: int) -> None:
    form = httpx.Request("POST", f"http://test{TRANSCRIPTIONS}", files={"file": wav()})
    with serving() as service, service.client.portal() as portal:
        service.gated.let_go.set()

        async def before(i: int) -> None:
            if i == 1:
                service.drain.begin(within_s=PATIENCE_S if finishes else 0.01)
                await asyncio.sleep(0 if finishes else PATIENCE_S)

        pieces = [form.read()[:1000], form.read()[1000:]]
        answer = portal.call(partial(exchange, service.client.app, form, pieces, before=before))
        assert answer.status == status
        assert service.wait() == 0


def test_who_is_still_sending_is_refused_when_the_body_has_been_read() -> None:
    """The answer would be lost with the connection if the service ended before that."""
    form = httpx.Request("POST", f"http://test{TRANSCRIPTIONS}", files={"file": wav()})
    order: list[str] = []
    with serving() as service, service.client.portal() as portal:
        service.begin()

        async def before(i: int) -> None:
            order.append(f"piece {i}")

        pieces = [form.read()[:1000], form.read()[1000:2000], form.read()[2000:]]
        refused = partial(exchange, service.client.app, form, pieces, before=before, on_body=lambda: order.append("answer"))
        check_envelope(portal.call(refused).as_httpx(), 503, kind="server_error", code="overloaded")
        assert order == ["piece 0", "piece 1", "piece 2", "answer"]
        assert service.wait() == 0
