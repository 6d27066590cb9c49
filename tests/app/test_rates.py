"""Rates: who asks for too much is refused early, told when to come again, and everybody else is served.

Buckets fill by the clock, so limits here are far below what a minute brings: no test waits for one, or lasts half as long.
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import numpy as np
import openai
import pytest

from app.domain.audio import MODEL_RATE_HZ
from app.entrypoints.app import create_app
from app.entrypoints.rates import RATE_HEADERS
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .live import rest_of, shorts, talk
from .realtime import MANUAL, TRANSCRIPT, talking
from .service import PATIENCE_S, TEXT, TRANSCRIPTIONS, Client, ask_bare, check_envelope, make_container, send, serving, tone, wav

KEYS: Final = ("sk-one", "sk-other")
ONE, OTHER = ({"authorization": f"Bearer {key}"} for key in KEYS)
SAID: Final = shorts(np.concatenate([tone(1.0), np.zeros(MODEL_RATE_HZ, np.float32)]))
LIMITED: Final[Any] = {"kind": "rate_limit_error", "code": "rate_limit_exceeded"}


def rate_headers(answer: httpx.Response) -> dict[str, str]:
    return {name.removeprefix("x-ratelimit-"): value for name, value in answer.headers.items() if name in RATE_HEADERS}


# Requests


def test_one_request_too_many_is_refused_and_other_keys_are_served() -> None:
    with serving(Settings(api_keys=KEYS, requests_per_minute=2)) as (client, _):
        answers = [client.get(path, headers=ONE) for path in ("/v1/models", "/nothing", "/v1/models", "/nothing")]
        check_envelope(answers[2], 429, **LIMITED)
        assert [answer.status_code for answer in answers] == [200, 404, 429, 429]
        assert [rate_headers(answer)["remaining-requests"] for answer in answers] == ["1", "0", "0", "0"]
        assert {rate_headers(answer)["limit-requests"] for answer in answers} == {"2"}
        assert 0 < int(answers[2].headers["retry-after"]) <= 31
        assert "x-should-retry" not in answers[2].headers
        assert answers[2].headers["x-request-id"]
        assert client.get("/v1/models", headers=OTHER).status_code == 200
        for path in ("/healthz", "/readyz"):
            for headers in (ONE, None):
                assert client.get(path, headers=headers).status_code == 200


def test_who_may_not_come_in_is_no_caller_and_has_no_rate() -> None:
    with serving(Settings(api_keys=KEYS, requests_per_minute=1)) as (client, _):
        for _attempt in range(3):
            refused = client.get("/v1/models", headers={"authorization": "Bearer wrong"})
            check_envelope(refused, 401, code="invalid_api_key")
            assert rate_headers(refused) == {}


def test_without_rates_no_header_tells_of_any() -> None:
    with serving() as (client, _):
        assert rate_headers(send(client)) == {}


def test_pages_may_read_the_headers() -> None:
    page = "https://app.example"
    with serving(Settings(cors_origins=(page,), requests_per_minute=1)) as (client, _):
        for status in (200, 429):
            answer = client.get("/v1/models", headers={"origin": page})
            assert answer.status_code == status
            assert set(rate_headers(answer)) == {"limit-requests", "remaining-requests", "reset-requests"}
            assert set(RATE_HEADERS) <= set(answer.headers["access-control-expose-headers"].split(", "))


def test_the_official_client_knows_the_refusal() -> None:
    with serving(Settings(api_keys=KEYS, requests_per_minute=1)) as (client, _):
        taken: Any = client  # openai is typed for httpx2, and takes an httpx client as well
        official = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=KEYS[0], http_client=taken, max_retries=0)
        told = official.models.with_raw_response.list().headers
        with pytest.raises(openai.RateLimitError) as refused:
            official.models.list()
    assert told["x-ratelimit-remaining-requests"] == "0"
    assert (refused.value.type, refused.value.code) == ("rate_limit_error", "rate_limit_exceeded")


# Audio


def test_audio_that_was_heard_is_counted_and_too_much_refuses_the_next_file_alone() -> None:
    with serving(Settings(audio_s_per_minute=4)) as (client, _):
        first, second = send(client, wav(3.0)), send(client, wav(3.0))
        assert (first.json()["text"], second.json()["text"]) == (TEXT, TEXT)  # nobody knew how long the second was
        assert [rate_headers(answer)["remaining-audio-seconds"] for answer in (first, second)] == ["1", "0"]
        refused = send(client, wav(0.5))
        check_envelope(refused, 429, **LIMITED)
        assert 0 < int(refused.headers["retry-after"]) <= 31  # for 2 s that are owed
        assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("path", "fields"), [(TRANSCRIPTIONS, {"stream": "true"}), ("/v1/audio/translations", {}), ("/transcribe", {})]
)
def test_audio_is_counted_whichever_way_it_comes(path: str, fields: Mapping[str, Any]) -> None:
    with serving(Settings(audio_s_per_minute=4, single_pass_s=2, window_s=5)) as (client, _):
        assert send(client, wav(6.0), path=path, **fields).status_code == 200
        check_envelope(send(client, path=path, **fields), 429, **LIMITED)


def test_audio_of_a_file_that_is_refused_in_the_end_is_counted_too() -> None:
    with serving(Settings(audio_s_per_minute=1, max_audio_s=3)) as (client, _):
        check_envelope(send(client, wav(10.0)), 400, code="audio_too_long", param="file")
        check_envelope(send(client), 429, **LIMITED)


def test_a_file_that_is_no_audio_costs_none() -> None:
    with serving(Settings(audio_s_per_minute=1)) as (client, _):
        for _attempt in range(3):
            check_envelope(send(client, b"no audio"), 400, code="invalid_value", param="file")


@pytest.mark.parametrize("limit", [{"requests_per_minute": 2}, {"audio_s_per_minute": 1}])
def test_the_body_of_who_asks_for_too_much_is_not_read_before_the_answer(limit: Mapping[str, Any]) -> None:
    def asked(client: Client) -> tuple[int, bool]:
        headers = {b"content-type": b"multipart/form-data; boundary=x"}
        answer = ask_bare(client.app, "POST", TRANSCRIPTIONS, headers, peer="testclient")
        return answer.status, answer.was_read

    with serving(Settings(**limit)) as (client, _):
        assert asked(client) == (400, True)
        assert send(client, wav(2.0)).status_code == 200
        assert asked(client) == (429, False)


# Live


def test_a_live_session_that_sends_too_much_gets_what_it_said_and_is_told_to_come_again() -> None:
    with serving(Settings(audio_s_per_minute=3)) as (client, _):
        with client.websocket_connect("/ws") as session:
            for _ in range(2):
                session.send_bytes(SAID)
            session.send_bytes(shorts(tone(1.0)))  # over the limit: never heard
            heard = rest_of(session)
        assert heard.texts == [TEXT, TEXT]
        assert (heard.code, heard.messages[-1]["error"]["code"]) == (1013, "rate_limit_exceeded")
        assert heard.reason.startswith("rate_limit_exceeded: the limit of 3 s of audio per minute")
        refused = talk(client, [])
        assert (refused.code, [error["type"] for error in refused.errors]) == (1013, ["rate_limit_error"])
        check_envelope(send(client), 429, **LIMITED)  # one account, whichever way its audio comes


def test_a_realtime_session_that_sends_too_much_gets_what_it_said_and_is_told_to_come_again() -> None:
    with serving(Settings(audio_s_per_minute=2)) as (client, _):
        with talking(client) as talk:
            talk.update(MANUAL)
            talk.append(tone(3.0))
            assert talk.end() == ("rate_limit_exceeded", 1013, "rate_limit_error.rate_limit_exceeded")
        assert f"{TRANSCRIPT}.completed" in talk.types
        with talking(client) as again:
            assert again.end() == ("rate_limit_exceeded", 1013, "rate_limit_error.rate_limit_exceeded")


def test_a_session_in_step_with_its_rate_goes_on() -> None:
    with serving(Settings(audio_s_per_minute=1_000_000)) as (client, _):
        heard = talk(client, [SAID] * 20)
    assert (heard.code, len(heard.texts)) == (1000, 20)


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
def test_opening_a_session_is_a_request(path: str) -> None:
    with serving(Settings(requests_per_minute=1)) as (client, _):
        with client.websocket_connect(path):
            pass
        with client.websocket_connect(path) as session:
            told = session.receive_json(timeout=PATIENCE_S)
        assert told["error"]["code"] == "rate_limit_exceeded"


# Addresses


def statuses(settings: Settings, *senders: tuple[str, str]) -> list[int]:
    """Ask once from each: an address, and what it says of who sent the request."""
    app = create_app(make_container(settings, FakeRecognizer))
    return [ask_bare(app, "GET", "/nothing", {b"x-forwarded-for": told.encode()}, peer=peer).status for peer, told in senders]


PROXY: Final = "10.0.0.1"


def test_without_keys_each_address_has_its_rate() -> None:
    asked = [("203.0.113.1", ""), ("203.0.113.2", ""), ("203.0.113.1", "")]
    assert statuses(Settings(requests_per_minute=1), *asked) == [404, 404, 429]


def test_behind_a_proxy_the_sender_is_counted_and_cannot_choose_another_address() -> None:
    told = ("203.0.113.1", "203.0.113.2", "9.9.9.9, 203.0.113.1", "203.0.113.1:4712", "203.0.113.3, 10.2.3.4")
    settings = Settings(requests_per_minute=1, trusted_proxies=("10.0.0.0/8",))
    assert statuses(settings, *((PROXY, one) for one in told)) == [404, 404, 429, 429, 404]


def test_who_is_no_proxy_of_ours_cannot_choose_an_address() -> None:
    told = ("203.0.113.1", "203.0.113.2", "203.0.113.3")
    assert statuses(Settings(requests_per_minute=1), *((PROXY, one) for one in told)) == [404, 429, 429]
