"""Arithmetic on what live sessions heard: delays, changes of mind, failures. Nothing here measures.

A delay counts from when the sound was spoken: a client that sends late, a chunk that fills slowly, and a server that takes
nothing in for a while all lengthen it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from tests.recordings import word_error_rate

from .live_client import CLOSED_WELL, Heard, Log
from .live_speech import Spoken
from .sentences import bare
from .statistics import percentile_ms

_TRY_AGAIN_LATER: Final = 1013  # the close code of a session that found no place


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of one run heard; delays in milliseconds."""

    first_ms: list[float] = []  # tentative words after the start of speech, for each recording
    stable_ms: list[float] = []  # after its end, for each word of a final message
    final_ms: list[float] = []  # the last one of a recording, after the end of speech
    late_ms: list[float] = []  # the client's sends
    missed: int = 0  # recordings of which no utterance was heard
    utterances: int = 0
    unanswered: int = 0  # utterances that were handed over and never answered, or answered twice
    words: int = 0  # of finals
    changed: int = 0  # words of a hypothesis from the first on that the next one of the utterance has not
    changed_bare: int = 0  # the same without case and punctuation
    partials: int = 0
    speech_s: float = 0.0  # in utterances
    refused: int = 0  # sessions
    errors: int = 0  # sessions that ended in another way than well, and error messages in those that did not
    word_error_rate: float | None = None


class _Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """All messages about one utterance that has its final."""

    partials: list[Heard]
    final: Heard

    def touches(self, spoken: Spoken) -> bool:
        said = self.final.message
        return said.start < spoken.end_s and said.end > spoken.start_s


def delays_of(spoken: Sequence[Sequence[Spoken]], logs: Sequence[Log]) -> Delays:
    """Sum up sessions, each of which said `spoken` and noted its log."""
    sessions = [_of_session(said, log) for said, log in zip(spoken, logs, strict=True)]
    found = {field: [one for session in sessions for one in getattr(session, field)] for field in _LISTS} | {
        field: sum(getattr(session, field) for session in sessions) for field in _COUNTS
    }
    heard = [(said, log) for said, log in zip(spoken, logs, strict=True) if not _refused(log)]
    reference = " ".join(one.text for said, _ in heard for one in said)
    hypothesis = " ".join(one.final.message.text for _, log in heard for one in _utterances(log))
    return Delays(**found, word_error_rate=word_error_rate(reference, hypothesis) if heard else None)


_LISTS: Final = ("first_ms", "stable_ms", "final_ms", "late_ms")
_COUNTS: Final = tuple(field for field in Delays.__struct_fields__ if field not in {*_LISTS, "word_error_rate"})


def _of_session(spoken: Sequence[Spoken], log: Log) -> Delays:
    utterances = _utterances(log)
    changes = [(_hypotheses(one), [bare(text) for text in _hypotheses(one)]) for one in utterances]
    n_queued = sum(heard.message.status == "queued" for heard in log.heard)
    n_finals = sum(heard.message.final is True for heard in log.heard)
    n_errors = sum(heard.message.error is not None for heard in log.heard)
    failed = not _refused(log) and (log.closed != CLOSED_WELL or bool(log.failure))
    return Delays(
        first_ms=list(_first_ms(spoken, utterances)),
        stable_ms=[delay_ms for one in utterances for delay_ms in _stable_ms(one)],
        final_ms=list(_final_ms(spoken, utterances)),
        late_ms=log.late_ms,
        missed=0 if _refused(log) else sum(not any(one.touches(said) for one in utterances) for said in spoken),
        utterances=len(utterances),
        unanswered=abs(n_queued - n_finals),
        words=sum(len(one.final.message.text.split()) for one in utterances),
        changed=sum(n_changed(texts) for texts, _ in changes),
        changed_bare=sum(n_changed(texts) for _, texts in changes),
        partials=sum(len(one.partials) for one in utterances),
        speech_s=sum(one.final.message.end - one.final.message.start for one in utterances),
        refused=int(_refused(log)),
        errors=int(failed) or (0 if _refused(log) else n_errors),
    )


def _refused(log: Log) -> bool:
    return log.closed == _TRY_AGAIN_LATER


def _utterances(log: Log) -> list[_Utterance]:
    partials: dict[int, list[Heard]] = {}
    found = []
    for heard in log.heard:
        if heard.message.final is False:
            partials.setdefault(heard.message.utterance, []).append(heard)
        elif heard.message.final:
            found.append(_Utterance(partials=partials.pop(heard.message.utterance, []), final=heard))
    return found


def _first_ms(spoken: Sequence[Spoken], utterances: Sequence[_Utterance]) -> Iterator[float]:
    """Yield when the first words came, of recordings that do not share their first utterance with the one before."""
    for before, said in pairwise([None, *spoken]):
        mine = [one for one in utterances if said and one.touches(said)]
        times_s = [heard.at_s for one in mine for heard in (*one.partials, one.final) if heard.message.text]
        if said and times_s and not (before and mine[0].touches(before)):
            yield 1000 * (min(times_s) - said.start_s)


def _final_ms(spoken: Sequence[Spoken], utterances: Sequence[_Utterance]) -> Iterator[float]:
    """Yield when the last final came, of recordings that do not share their last utterance with the one after."""
    for said, after in pairwise([*spoken, None]):
        mine = [one for one in utterances if said and one.touches(said)]
        if said and mine and not (after and mine[-1].touches(after)):
            yield 1000 * (mine[-1].final.at_s - said.end_s)


def _stable_ms(utterance: _Utterance) -> Iterator[float]:
    """Yield how long after its end each word was stable: its place is within what a partial calls stable, or it is final."""
    stable = [(heard.at_s, len(heard.message.stable.split())) for heard in utterance.partials]
    for place, word in enumerate(utterance.final.message.words):
        at_s = next((at_s for at_s, n_words in stable if n_words > place), utterance.final.at_s)
        yield 1000 * (at_s - word.end)


def _hypotheses(utterance: _Utterance) -> list[str]:
    return [heard.message.text for heard in (*utterance.partials, utterance.final)]


def n_changed(texts: Sequence[str]) -> int:
    """Count the words that a text has and the next one has not: from the first difference on, all of them."""
    changed = 0
    for one, other in pairwise(texts):
        before, after = one.split(), other.split()
        same = next(
            (i for i, (mine, its) in enumerate(zip(before, after, strict=False)) if mine != its), min(len(before), len(after))
        )
        changed += len(before) - same
    return changed


def quotient(part: float, whole: float) -> float | None:
    """Divide; None by nothing."""
    return part / whole if whole else None


def percentiles_ms(values_ms: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the median and the 95th percentile."""
    return percentile_ms(values_ms, 50), percentile_ms(values_ms, 95)
