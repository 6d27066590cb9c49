"""What Prometheus is told."""

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.ports import DeviceMemory
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer
from app.testing.ruler import RulerRecognizer

from .live import cut, floats, rest_of, spoken, talk, wait_until
from .service import TRANSCRIPTIONS, Client, send, serving, wav

Samples = Mapping[tuple[str, ...], float]


def samples(client: Client) -> Samples:
    """Every sample by its name and the values of its labels, by the names of these."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_batches_and_the_queue_are_told() -> None:
    with serving(recognizer=FakeRecognizer()) as (client, _):
        assert samples(client)["stt_queue_items",] == 0
        for duration_s in (1.5, 2.5):
            assert send(client, wav(duration_s)).status_code == 200
        found = samples(client)
    assert found["stt_batches_total", "done", "file"] == 2
    assert found["stt_batch_items_count", "file"] == found["stt_batch_items_sum", "file"] == 2
    assert found["stt_batch_audio_seconds_total", "file"] == found["stt_batch_padded_seconds_total", "file"] == 4.0
    assert found["stt_batch_run_seconds_count", "file"] == found["stt_queue_wait_seconds_count", "file"] == 2
    assert found["stt_real_time_factor",] == pytest.approx(found["stt_batch_run_seconds_sum", "file"] / 4.0)
    assert found["stt_queue_audio_seconds",] == found["stt_queue_seconds",] == 0


def test_requests_are_told_by_route_and_status_whoever_answers_them() -> None:
    with serving(Settings(api_keys=("secret",))) as (client, _):
        key = {"authorization": "Bearer secret"}
        assert send(client, wav(1.5), headers=key).status_code == 200
        assert send(client).status_code == 401
        assert client.get("/v1/models/fake", headers=key).status_code == 200
        assert client.get("/v1/models/other", headers=key).status_code == 404
        assert client.head("/healthz").status_code == 200
        for path in ("/one", "/two", "/wp-login.php"):
            assert client.get(path, headers=key).status_code == 404
        client.headers.update(key)
        found = samples(client)
    requests = {name[1:]: value for name, value in found.items() if name[0] == "stt_requests_total"}
    assert requests == {
        (TRANSCRIPTIONS, "200"): 1,
        (TRANSCRIPTIONS, "401"): 1,
        ("/v1/models/{name}", "200"): 1,
        ("/v1/models/{name}", "404"): 1,
        ("/healthz", "200"): 1,
        ("none", "404"): 3,
    }
    assert found["stt_request_seconds_count", TRANSCRIPTIONS] == 2
    assert found["stt_audio_seconds_total", "file"] == 1.5
    assert found["stt_refusals_total", "invalid_api_key"] == 1
    assert found["stt_refusals_total", "model_not_found"] == 1
    assert found["stt_refusals_total", "not_found"] == 3
    assert found["stt_requests_open",] == 1  # the one that asks


def test_live_sessions_are_told_with_the_latencies_of_their_words() -> None:
    audio, _ = spoken([[1, 2, 3], [4, 5]])
    pieces = cut(floats(audio), n_bytes=6400)
    with serving(recognizer=RulerRecognizer()) as (client, _):
        heard = talk(client, pieces, query="encoding=pcm_f32le&partials=1")
        with client.websocket_connect("/ws?sample_rate=1") as session:
            assert rest_of(session).code == 1008
        wait_until(lambda: samples(client).get(("stt_live_sessions_ended_total", "invalid_value", "ws")) == 1)
        found = samples(client)
    n_finals = len(heard.texts)
    assert found["stt_live_answer_seconds_count",] == n_finals
    assert found["stt_live_final_seconds_count",] == len([text for text in heard.texts if text]) >= 2
    assert found["stt_live_first_seconds_count",] == len(
        {told["utterance"] for told in heard.messages if told.get("final") is False}
    )
    assert found["stt_audio_seconds_total", "live"] == pytest.approx(audio.size / 16_000)
    assert found["stt_live_sessions_ended_total", "finished", "ws"] == 1
    assert found["stt_live_session_seconds_count", "ws"] == 2
    assert found["stt_refusals_total", "invalid_value"] == 1
    assert found["stt_live_sessions",] == 0


def test_latencies_that_people_tell_apart_have_buckets_of_their_own() -> None:
    with serving() as (client, _):
        bounds = {float(name[1]) for name in samples(client) if name[0] == "stt_live_final_seconds_bucket"}
    assert {0.075, 0.15, 0.2, 0.35, 0.5} <= bounds


def test_how_long_each_stage_of_a_request_takes_is_told() -> None:
    with serving() as (client, _):
        assert send(client).status_code == 200
        found = samples(client)
    counts = {name[1]: value for name, value in found.items() if name[0] == "stt_stage_seconds_count"}
    assert counts == {"receive": 1, "decode": 1, "queue": 1, "model": 1, "render": 1}
    assert 0 < found["stt_stage_seconds_sum", "receive"] <= found["stt_request_seconds_sum", TRANSCRIPTIONS]


def test_what_is_served_is_told_once_it_is_ready() -> None:
    class OnDevice(FakeRecognizer):
        def device_memory(self) -> DeviceMemory:
            return DeviceMemory(total_bytes=80, used_bytes=40, reserved_bytes=20)

    with serving(recognizer=OnDevice()) as (client, _):
        found = samples(client)
    assert found["stt_ready",] == 1
    assert found["stt_model_info", "cpu", "fake", "float32"] == 1
    assert found["stt_device_memory_total_bytes",] == 80
    assert found["stt_device_memory_used_bytes",] == 40
    assert found["stt_device_memory_reserved_bytes",] == 20
    assert found["process_resident_memory_bytes",] > 1e7
    assert [name[0] for name in found].count("stt_build_info") == 1


def test_where_there_are_keys_metrics_need_one() -> None:
    with serving(Settings(api_keys=("secret",))) as (client, _):
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200
