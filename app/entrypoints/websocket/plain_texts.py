"""What `/ws` makes of a live session: the client's choices into rules, events into messages."""

from typing import Final as Constant

from ...domain.live_events import Event, Failed, Final, HandedOver, Partial, Started
from ...domain.live_rules import LiveRules
from ...domain.ports import Options
from ...domain.transcript import Transcript
from ...domain.voice_activity import SpanRules
from ..errors import body_of_failure
from .plain_messages import Asked, Status, Text, UtteranceError, WordHeard, words_heard

Message = Status | Text | UtteranceError
QUEUED: Constant = Status("queued")


def rules_of(asked: Asked, *, longest_s: float) -> LiveRules:
    """Return how a session is heard; `longest_s` is the limit of an utterance."""
    spans = SpanRules(threshold=asked.threshold, least_silence_s=asked.silence_ms / 1000, pad_before_s=asked.prefix_ms / 1000)
    return LiveRules(
        spans=spans if asked.endpointing else None,
        longest_s=longest_s,
        partials=asked.partials,
        options=Options(keywords=asked.keywords),
    )


class Texts:
    """Makes the messages of one session."""

    def __init__(self, *, words: bool = False) -> None:
        self._words = words
        self.from_s = 0.0  # where the present utterance starts
        self.n_utterances = 0

    def of(self, event: Event) -> Message | None:
        """Return what is said of an event; None of pauses, which this protocol does not tell."""
        match event:
            case Started():
                self.from_s = event.at_s
            case HandedOver():
                self.from_s = event.end_s
                self.n_utterances += 1
                return QUEUED
            case Partial():
                return self._partial(event)
            case Final():
                return self._final(event)
            case Failed():
                return UtteranceError(error=body_of_failure(event.failure).error, utterance=event.utterance)
            case _:
                pass
        return None

    def _partial(self, event: Partial) -> Text:
        whole = Transcript(tokens=event.stable.tokens + event.tentative.tokens)
        stable = event.stable.text
        return Text(
            text=whole.text,
            utterance=event.utterance,
            final=False,
            start=round(self.from_s, 3),
            end=round(max((word.end_s for word in whole.words), default=self.from_s), 3),
            stable=stable,
            tentative=whole.text[len(stable) :],
            words=self._heard(whole),
        )

    def _final(self, event: Final) -> Text:
        return Text(
            text=event.transcript.text,
            utterance=event.utterance,
            final=True,
            start=round(event.start_s, 3),
            end=round(event.end_s, 3),
            words=self._heard(event.transcript),
        )

    def _heard(self, transcript: Transcript) -> list[WordHeard] | None:
        return words_heard(transcript) if self._words else None
