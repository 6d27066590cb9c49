"""What the service says of its batches, from its Prometheus metrics; nothing where it has none."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import httpx

_BATCHES: Final = "stt_batch_items"
_QUEUE: Final = "stt_queue_wait_seconds"


def scrape(url: str) -> dict[str, float]:
    """Return every sample of `/metrics` by its name, summed over labels; none if there is no such page."""
    got = httpx.get(url + "/metrics")
    return samples(got.text) if got.status_code == httpx.codes.OK else {}


def samples(text: str) -> dict[str, float]:
    """Read the text format; samples that differ in labels alone are summed."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] += sample.value
    return dict(found)


def batches_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """Return `batch_clips`, `batch_fill` and `queue_ms` of a phase between two scrapes; what cannot be known is left out."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    def quotient(part: str, whole: str, factor: float = 1.0) -> float | None:
        return factor * grown(part) / grown(whole) if grown(whole) > 0 and part in after else None

    found = {
        "batch_clips": quotient(f"{_BATCHES}_sum", f"{_BATCHES}_count"),
        "batch_fill": quotient("stt_batch_audio_seconds_total", "stt_batch_padded_seconds_total"),
        "queue_ms": quotient(f"{_QUEUE}_sum", f"{_QUEUE}_count", 1000),
    }
    return {name: value for name, value in found.items() if value is not None}
