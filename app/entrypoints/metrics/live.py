"""Live sessions in numbers: how many are open, how much they hear, and how long their words are in coming."""

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ...domain import live_events
from ...domain.live_events import Event, HandedOver, Partial
from ...domain.transcript import Transcript

# 75 to 500 ms are what a conversation bears, and are told apart.
_SECONDS: Final = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.65, 0.8, 1, 1.5, 2, 3, 5, 10, 30)
_STEP_S: Final = 0.01  # arrivals nearer to one another than this share a note
_REMEMBERED_S: Final = 120.0  # of sound, within which an utterance's words lie


class LiveNumbers:
    """Times what live sessions are told."""

    def __init__(self, registry: CollectorRegistry, audio: Counter, n_open: Callable[[], int]) -> None:
        """Count sound under the label `live` of `audio`."""
        self._audio = audio.labels("live")
        self._first = Histogram(
            "stt_live_first_seconds",
            "From when an utterance's first word began to arrive until a partial has words.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._final = Histogram(
            "stt_live_final_seconds",
            "From when an utterance's last word had arrived until its final; the silence that ends it is part of this.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._answer = Histogram(
            "stt_live_answer_seconds", "From when an utterance was known to be over until its final.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        Gauge("stt_live_sessions", "Live sessions that are open.", registry=registry).set_function(n_open)

    def watch(self) -> "SessionWatch":
        """Begin to time one session."""
        return SessionWatch(self)

    def heard(self, duration_s: float) -> None:
        """Count sound that came in."""
        self._audio.inc(duration_s)

    def first(self, latency_s: float) -> None:
        """Count an utterance's first words."""
        self._first.observe(latency_s)

    def final(self, latency_s: float) -> None:
        """Count a final by when its last word had arrived."""
        self._final.observe(latency_s)

    def answer(self, latency_s: float) -> None:
        """Count a final by when its utterance was known to be over."""
        self._answer.observe(latency_s)


class SessionWatch:
    """Remembers when the sound of one session arrived and times what is told of it. Times are of one clock that never runs back."""

    def __init__(self, numbers: LiveNumbers) -> None:
        self._numbers = numbers
        self._places, self._arrivals = array("d"), array("d")  # heard up to here, in seconds of the session; and when
        self._heard_s = 0.0
        self._partial_of = 0  # the utterance that has had its first words
        self._over_s: dict[int, float] = {}  # utterance -> when it was handed over

    def heard(self, heard_s: float, now_s: float) -> None:
        """Note that all sound up to `heard_s` has arrived by now."""
        if heard_s <= self._heard_s:
            return
        self._numbers.heard(heard_s - self._heard_s)
        self._heard_s = heard_s
        if self._places and heard_s - self._places[-1] < _STEP_S:
            return
        self._places.append(heard_s)
        self._arrivals.append(now_s)
        if self._places[0] < heard_s - 2 * _REMEMBERED_S:
            n_old = bisect_left(self._places, heard_s - _REMEMBERED_S)
            del self._places[:n_old], self._arrivals[:n_old]

    def told(self, event: Event, now_s: float) -> None:
        """Time an event that the client is about to be told."""
        match event:
            case Partial(utterance=utterance):
                said = Transcript(tokens=event.stable.tokens + event.tentative.tokens)
                if utterance > self._partial_of and (words := said.words):
                    self._partial_of = utterance
                    self._numbers.first(now_s - self._arrived_s(words[0].start_s, now_s))
            case HandedOver(utterance=utterance):
                self._over_s[utterance] = now_s
            case live_events.Final(utterance=utterance):
                if words := event.transcript.words:
                    self._numbers.final(now_s - self._arrived_s(words[-1].end_s, now_s))
                if (over_s := self._over_s.pop(utterance, None)) is not None:
                    self._numbers.answer(now_s - over_s)
            case live_events.Failed(utterance=utterance):
                self._over_s.pop(utterance, None)
            case _:
                pass

    def _arrived_s(self, place_s: float, now_s: float) -> float:
        at = bisect_left(self._places, place_s)
        return self._arrivals[at] if at < len(self._arrivals) else now_s
