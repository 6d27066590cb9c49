"""How the latencies of live sessions are taken, by a clock made for it."""

import pytest
from prometheus_client import CollectorRegistry, Counter

from app.domain.errors import RecognitionError
from app.domain.live_events import Failed, Final, HandedOver, Partial
from app.domain.transcript import Token, Transcript
from app.entrypoints.metrics.live import LiveNumbers, SessionWatch

ARRIVAL_S = 1000.0  # on the clock, of the session's first sample
LATE_S = 0.02  # each piece of 20 ms has arrived when its last sample has


def said(*times_s: float) -> Transcript:
    tokens = tuple(Token(id=0, text=" word", start_s=time_s, end_s=time_s + 0.2, logprob=0.0) for time_s in times_s)
    return Transcript(tokens=tokens)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watch(registry: CollectorRegistry) -> SessionWatch:
    """Has heard ten seconds in pieces of 20 ms, as they were spoken."""
    watch = LiveNumbers(registry, Counter("audio", "", ("source",), registry=registry), lambda: 1).watch()
    for i in range(1, 501):
        watch.heard(i * 0.02, ARRIVAL_S + i * 0.02)
    return watch


def told(registry: CollectorRegistry, name: str) -> tuple[float | None, float | None]:
    """The number and the sum of a histogram."""
    return registry.get_sample_value(f"stt_live_{name}_seconds_count"), registry.get_sample_value(f"stt_live_{name}_seconds_sum")


def partial(utterance: int, *, stable: Transcript, tentative: Transcript) -> Partial:
    return Partial(utterance=utterance, stable=stable, fresh=stable, tentative=tentative)


def final(utterance: int, transcript: Transcript) -> Final:
    return Final(utterance=utterance, transcript=transcript, fresh=transcript, start_s=0.0, end_s=10.0)


def test_first_words_count_from_when_the_first_of_them_began_to_arrive(registry: CollectorRegistry, watch: SessionWatch) -> None:
    watch.told(partial(1, stable=said(), tentative=said()), ARRIVAL_S + 1.1)  # no words yet
    watch.told(partial(1, stable=said(), tentative=said(1.0, 1.3)), ARRIVAL_S + 1.5)
    watch.told(partial(1, stable=said(1.0), tentative=said(1.3)), ARRIVAL_S + 1.9)  # not the first
    watch.told(partial(2, stable=said(4.0), tentative=said()), ARRIVAL_S + 4.25)
    count, total = told(registry, "first")
    assert count == 2
    assert total == pytest.approx(0.5 + 0.25, abs=2 * LATE_S)


def test_a_final_counts_from_its_last_word_and_from_its_utterance_s_end(registry: CollectorRegistry, watch: SessionWatch) -> None:
    watch.told(HandedOver(utterance=1, start_s=0.5, end_s=2.0), ARRIVAL_S + 2.0)
    watch.told(final(1, said(0.6, 1.3)), ARRIVAL_S + 2.1)  # the last word ends at 1.5
    count, total = told(registry, "final")
    assert count == 1
    assert total == pytest.approx(0.6, abs=LATE_S)
    count, total = told(registry, "answer")
    assert count == 1
    assert total == pytest.approx(0.1)


def test_an_empty_final_has_no_last_word_and_a_failure_is_no_final(registry: CollectorRegistry, watch: SessionWatch) -> None:
    for utterance in (1, 2):
        watch.told(HandedOver(utterance=utterance, start_s=0.5, end_s=2.0), ARRIVAL_S + 2.0)
    watch.told(final(1, said()), ARRIVAL_S + 2.1)
    watch.told(Failed(utterance=2, failure=RecognitionError("failed")), ARRIVAL_S + 2.2)
    assert told(registry, "final")[0] == 0
    assert told(registry, "answer")[0] == 1


def test_a_session_of_hours_remembers_minutes(registry: CollectorRegistry, watch: SessionWatch) -> None:
    for i in range(501, 100_000):
        watch.heard(i * 0.02, ARRIVAL_S + i * 0.02)
    assert len(watch._arrivals) < 15_000
    watch.told(HandedOver(utterance=1, start_s=1990.0, end_s=1999.0), ARRIVAL_S + 1999.0)
    watch.told(final(1, said(1990.0)), ARRIVAL_S + 1999.2)
    assert told(registry, "final")[1] == pytest.approx(9.0, abs=LATE_S)
    assert registry.get_sample_value("audio_total", {"source": "live"}) == pytest.approx(99_999 * 0.02)
