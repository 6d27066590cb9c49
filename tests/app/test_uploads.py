"""Uploads that stop, dribble, break off or find no room: what they are told, and what they hold until then."""

import asyncio
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from app.entrypoints.http import doors, upload_clock
from app.entrypoints.logs import configure_logs
from app.settings import Settings

from .exchange import Answer, exchange
from .service import PATIENCE_S, TEXT, TRANSCRIPTIONS, Client, check_envelope, left_in, send, serving, wav

FORM: Final = httpx.Request("POST", f"http://test{TRANSCRIPTIONS}", files={"file": wav()})
JSON: Final = httpx.Request("POST", "http://test/v1/realtime/client_secrets", json={"session": {}})
BIG: Final = wav(40)  # 1.3 MB


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that uploads go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def ask(client: Client, request: httpx.Request, pieces: list[bytes], *, every_s: float = 0.0, leaves: bool = False) -> Answer:
    async def before(i: int) -> None:
        await asyncio.sleep(every_s if i else 0)

    with client.portal() as portal:
        return portal.call(partial(exchange, client.app, request, pieces, before=before, leaves=leaves))


def test_an_upload_that_stops_holds_no_place_until_it_is_given_up(uploads: Path) -> None:
    served: list[int] = []

    async def stop_after_others_were_served(client: Client) -> Answer:
        async def before(i: int) -> None:
            if i == 1:
                served.append((await asyncio.to_thread(send, client)).status_code)
                await asyncio.sleep(PATIENCE_S)

        return await exchange(client.app, FORM, [FORM.read()[:3], FORM.read()[3:]], before=before)

    with serving(Settings(max_requests=1, upload_idle_s=1.0)) as (client, _), client.portal() as portal:
        answer = portal.call(stop_after_others_were_served, client)
        assert served == [200]
        assert "3 bytes" in check_envelope(answer.as_httpx(), 408, code="request_timeout")
        assert "x-should-retry" not in answer.headers  # OpenAI's clients may send it again
        assert left_in(uploads) == []


def test_a_client_that_is_slower_than_allowed_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 0.1 s at every piece, and then a few times until it is given up."""
    monkeypatch.setattr(upload_clock, "_PATIENT_S", 0.1)
    read: list[int] = []
    read_before_answer: list[int] = []

    async def dribble(client: Client) -> Answer:
        async def before(i: int) -> None:
            read.append(i)
            await asyncio.sleep(0.01)

        pieces = [FORM.read()[i : i + 1] for i in range(300)]
        return await exchange(client.app, FORM, pieces, before=before, on_body=lambda: read_before_answer.append(len(read)))

    with serving(Settings(upload_idle_s=2.0)) as (client, _), client.portal() as portal:
        assert portal.call(dribble, client).status == 408
    assert read_before_answer[0] < 40


def test_an_upload_that_is_slower_than_allowed_and_ends_in_time_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than it is late nobody waits before its end is seen."""
    monkeypatch.setattr(upload_clock, "_PATIENT_S", 0.0)
    data = FORM.read()
    pieces = [data[at : at + len(data) // 10] for at in range(0, len(data), len(data) // 10)]
    with serving(Settings(upload_idle_s=PATIENCE_S, upload_least_kb_s=1_000_000.0)) as (client, _):
        assert ask(client, FORM, pieces, every_s=0.05).as_httpx().json()["text"] == TEXT


def test_of_what_nobody_wants_small_pieces_are_not_read_as_fast_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_READ_OUT_S", 0.5)
    read: list[int] = []

    async def dribble(client: Client) -> Answer:
        async def before(i: int) -> None:
            read.append(i)

        elsewhere = httpx.Request("POST", "http://test/nowhere", content=bytes(1_000))
        return await exchange(client.app, elsewhere, [b"x"] * 1_000, before=before)

    with serving() as (client, _), client.portal() as portal:
        assert portal.call(dribble, client).status == 404
    assert len(read) < 20


def test_uploads_that_stop_in_the_same_moment_are_not_given_up_in_the_same_moment() -> None:
    ended: list[int] = []

    async def stop(client: Client, number: int) -> None:
        async def before(i: int) -> None:
            await asyncio.sleep(PATIENCE_S if i else 0)

        assert (await exchange(client.app, FORM, [FORM.read()[:3], FORM.read()[3:]], before=before)).status == 408
        ended.append(number)

    async def stop_all(client: Client) -> None:
        await asyncio.gather(*(stop(client, number) for number in range(30)))

    with serving(Settings(upload_idle_s=0.5)) as (client, _), client.portal() as portal:
        portal.call(stop_all, client)
    assert ended != sorted(ended)


def test_a_body_of_json_that_stops_is_given_up() -> None:
    with serving(Settings(upload_idle_s=0.05)) as (client, _):
        answer = ask(client, JSON, [JSON.read()[:3], JSON.read()[3:]], every_s=PATIENCE_S)
    check_envelope(answer.as_httpx(), 408, code="request_timeout")


@pytest.mark.parametrize(("least_kb_s", "status"), [(1_000.0, 408), (0.5, 200)])
def test_an_upload_that_dribbles_is_given_up_where_it_is_slower_than_allowed(least_kb_s: float, status: int, uploads: Path) -> None:
    """A piece every 50 ms never leaves a pause as long as 200 ms."""
    data = FORM.read()
    pieces = [data[at : at + 4_000] for at in range(0, len(data), 4_000)]
    assert len(pieces) > 6
    with serving(Settings(upload_idle_s=0.2, upload_least_kb_s=least_kb_s)) as (client, _):
        answer = ask(client, FORM, pieces, every_s=0.05)
        assert answer.status == status
        assert left_in(uploads) == []


@pytest.mark.parametrize("request_", [FORM, JSON], ids=["form", "json"])
def test_a_client_that_leaves_in_the_middle_of_its_upload_is_no_error(request_: httpx.Request, uploads: Path) -> None:
    with serving() as (client, _), capture_logs() as logs:
        answer = ask(client, request_, [request_.read()[:10]], leaves=True)
        check_envelope(answer.as_httpx(), 400, code="invalid_value")  # for one that stays, and whose chunks are wrong
        assert left_in(uploads) == []
    assert [event["event"] for event in logs if event["log_level"] == "error"] == []
    (finished,) = [event for event in logs if event["event"] == "request_finished"]
    assert finished["left"] is True


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond: as good as a full disk, and anybody may ask for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_upload_for_which_there_is_no_room_is_told_to_come_again(uploads: Path) -> None:
    with serving() as (client, _), capture_logs() as logs:
        with files_of_at_most(1_000_000):
            refused = send(client, BIG)
        assert left_in(uploads) == []
        assert send(client, BIG).json()["text"] == TEXT
    check_envelope(refused, 503, kind="server_error", code="overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    (failed,) = [event for event in logs if event["log_level"] == "error"]
    assert failed == {"event": "upload_not_stored", "reason": "File too large", "log_level": "error"}


def test_a_folder_for_uploads_that_is_gone_is_no_failure_of_the_client_s(uploads: Path) -> None:
    uploads.rmdir()
    with serving() as (client, _):
        check_envelope(send(client), 503, kind="server_error", code="overloaded")


def test_a_log_that_cannot_be_written_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full, serving() as (client, _):
        monkeypatch.setattr("sys.stderr", full)
        try:
            configure_logs(Settings(log_level="debug"))
            answer = send(client)
        finally:
            structlog.reset_defaults()
            monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            print("this is what the log met", file=full, flush=True)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), full.fileno())  # else closing would meet it, too
    assert (answer.status_code, answer.json()["text"]) == (200, TEXT)
