"""What the service says of its batches, from its Prometheus metrics; nothing where it has none."""

import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import httpx
import msgspec

_BATCHES: Final = "stt_batch_items"
_QUEUE: Final = "stt_queue_wait_seconds"


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Values counted in buckets: `buckets` has the number of those up to each bound, the last of which is infinite."""

    buckets: dict[float, float] = {}
    total: float = 0.0  # of all values

    @property
    def count(self) -> float:
        return self.buckets.get(math.inf, 0.0)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def since(self, before: "Histogram") -> "Histogram":
        """Return what came after `before` was read."""
        grown = {bound: count - before.buckets.get(bound, 0.0) for bound, count in self.buckets.items()}
        return Histogram(buckets=grown, total=self.total - before.total)

    def percentile(self, percent: float) -> float | None:
        """Return about the percentile: linear within its bucket, as Prometheus' own `histogram_quantile`; None of nothing."""
        rank = self.count * percent / 100
        for (low, below), (high, up_to) in pairwise([(0.0, 0.0), *sorted(self.buckets.items())]):
            if up_to >= rank and up_to > below:
                return low if math.isinf(high) else low + (high - low) * (rank - below) / (up_to - below)
        return None


def scrape(url: str) -> dict[str, float]:
    """Return every sample of `/metrics` by its name, summed over labels; none if there is no such page."""
    return samples(scraped(url))


def scraped(url: str) -> str:
    """Return the text of `/metrics`, empty if there is no such page."""
    got = httpx.get(url + "/metrics")
    return got.text if got.status_code == httpx.codes.OK else ""


def samples(text: str) -> dict[str, float]:
    """Read the text format; samples that differ in labels alone are summed."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] += sample.value
    return dict(found)


def histogram(text: str, name: str, **labels: str) -> Histogram:
    """Read one histogram out of the text format, the one that has these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    buckets, total = {}, 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if family.name == name and labels.items() <= sample.labels.items():
                if sample.name.endswith("_bucket"):
                    buckets[float(sample.labels["le"])] = sample.value
                elif sample.name.endswith("_sum"):
                    total = sample.value
    return Histogram(buckets=buckets, total=total)


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
