"""What Prometheus is told."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings
from app.testing.recognizers import FakeRecognizer

from .service import Client, send, serving, wav


def samples(client: Client) -> Mapping[tuple[str, str], float]:
    """Every sample by its name and priority."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, sample.labels.get("priority", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_batches_and_the_queue_are_told() -> None:
    with serving(recognizer=FakeRecognizer()) as (client, _):
        assert samples(client)["stt_queue_items", ""] == 0
        for duration_s in (1.5, 2.5):
            assert send(client, wav(duration_s)).status_code == 200
        found = samples(client)
    assert found["stt_batches_total", "file"] == 2
    assert found["stt_batch_items_count", "file"] == found["stt_batch_items_sum", "file"] == 2
    assert found["stt_batch_audio_seconds_total", "file"] == found["stt_batch_padded_seconds_total", "file"] == 4.0
    assert found["stt_batch_run_seconds_count", "file"] == found["stt_queue_wait_seconds_count", "file"] == 2
    assert found["stt_queue_audio_seconds", ""] == 0


def test_where_there_are_keys_metrics_need_one() -> None:
    with serving(Settings(api_keys=("secret",))) as (client, _):
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200
