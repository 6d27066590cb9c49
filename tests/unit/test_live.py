"""One live session: however sound comes in and answers come back, every word is told once, in order, at its time."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.errors import EmptyBufferError, RecognitionError
from app.domain.live import LiveSession
from app.domain.live_events import Event, Failed, HandedOver, Idle, Partial, Request, Started, Step, Stopped
from app.domain.live_events import Final as Said
from app.domain.live_rules import LiveRules, Sound
from app.domain.ports import Recognizer
from app.domain.transcript import Transcript
from app.domain.voice_activity import SpanRules
from app.testing.fakes import FakeNormalizer, FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer, spoken_evenly
from app.testing.ruler import RulerRecognizer, RulerWord, encode_words

E = TypeVar("E", Started, Stopped, HandedOver, Partial, Said, Failed, Idle)

SPANS: Final = SpanRules(least_silence_s=0.5, pad_before_s=0.3)
LONGEST_CLIP_S: Final = 40.0


class Talk:
    """Drives a session: bytes in, a recogniser behind it that answers at once or when told, events out."""

    def __init__(
        self,
        rules: LiveRules,
        *,
        recognizer: Recognizer | None = None,
        longest_clip_s: float = LONGEST_CLIP_S,
        rate_hz: int = MODEL_RATE_HZ,
    ) -> None:
        sound = Sound(encoding="pcm_f32le", resampler=FakeNormalizer().open_resampler(source_rate_hz=rate_hz))
        self.session = LiveSession(FakeVoiceDetector(), sound, rules, longest_clip_s=longest_clip_s)
        self.recognizer = recognizer or RulerRecognizer()
        self.events: list[Event] = []
        self.requests: list[Request] = []  # not answered yet
        self.asked: list[Request] = []
        self.longest_clip_s = longest_clip_s

    def push(self, samples: Samples, *, chunk: int = 800, answering: bool = True) -> None:
        """Send samples in chunks of so many; the session's clock is that of the sound."""
        data = np.asarray(samples, "<f4").tobytes()
        for first in range(0, len(data), 4 * chunk):
            self.take(self.session.push(data[first : first + 4 * chunk], now_s=self.now_s))
            if answering:
                self.answer_all()

    @property
    def now_s(self) -> float:
        return self.session.heard_s

    def take(self, step: Step) -> None:
        self.events += step.events
        self.requests += step.requests
        self.asked += step.requests
        self.requests = [request for request in self.requests if request.ticket not in step.withdrawn]

    def answer(self, request: Request) -> None:
        self.requests.remove(request)
        (said,) = self.recognizer.recognize([request.clip], [request.options])
        self.take(self.session.answered(request.ticket, said, now_s=self.now_s))

    def answer_all(self) -> None:
        while self.requests:
            self.answer(self.requests[0])

    def finish(self) -> None:
        self.take(self.session.finish(now_s=self.now_s))
        self.answer_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def finals(self) -> list[Said]:
        return self.of(Said)

    @property
    def words(self) -> list[tuple[str, int, int]]:
        """Every final word with its first sample and its end."""
        return [
            (word.text, round(word.start_s * MODEL_RATE_HZ), round(word.end_s * MODEL_RATE_HZ))
            for final in self.finals
            for word in final.transcript.words
        ]


def written(words: Iterable[RulerWord]) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_sample, word.end_sample) for word in words]


def speech(seed: int, *, duration_s: float, pauses_s: tuple[float, ...]) -> tuple[Samples, list[RulerWord]]:
    """Words of 0.1 to 1 s, each followed by one of the pauses."""
    chance, words, at = random.Random(seed), list[RulerWord](), 4_000  # noqa: S311
    while at < (duration_s - 2) * MODEL_RATE_HZ:
        n_samples = chance.randrange(1_600, 16_000)
        words.append(RulerWord(number=len(words), start_sample=at, n_samples=n_samples, ends_sentence=chance.random() < 0.1))
        at += n_samples + round(chance.choice(pauses_s) * MODEL_RATE_HZ)
    return encode_words(words, duration_s).samples, words


@given(
    st.integers(0, 10_000),
    st.sampled_from([(0.0,), (0.05, 0.2, 1.5), (0.05, 0.35, 0.6), (1.0,)]),
    st.booleans(),
    st.sampled_from([1_601, 4_000, 30_000]),
)
@settings(max_examples=20)
def test_every_word_is_told_once_at_its_samples(seed: int, pauses_s: tuple[float, ...], partials: bool, chunk: int) -> None:
    samples, words = speech(seed, duration_s=30.0, pauses_s=pauses_s)
    talk = Talk(LiveRules(spans=SPANS, longest_s=12.0, partials=partials))
    talk.push(samples, chunk=chunk)
    talk.finish()
    assert talk.words == written(words)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=8)
def test_manual_mode_cuts_no_utterance_and_loses_no_word(seed: int, partials: bool) -> None:
    samples, words = speech(seed, duration_s=40.0, pauses_s=(0.0, 0.0, 3.0))
    talk = Talk(LiveRules(spans=None, longest_s=10.0, partials=partials))
    talk.push(samples, chunk=1_999)
    assert all(isinstance(event, Partial) for event in talk.events)
    talk.take(talk.session.commit(now_s=talk.now_s))
    talk.answer_all()
    assert [(event.utterance, event.start_s, event.end_s) for event in talk.of(HandedOver)] == [(1, 0.0, 40.0)]
    assert talk.words == written(words)
    assert max(request.clip.duration_s for request in talk.asked) <= 14.0  # ten, and two beyond either end


@given(st.integers(0, 10_000), st.lists(st.integers(1, 70_000), min_size=1, max_size=12))
@settings(max_examples=10)
def test_however_bytes_are_cut_the_same_is_told(seed: int, cuts: list[int]) -> None:
    samples, _ = speech(seed, duration_s=15.0, pauses_s=(0.1, 0.35, 0.8))
    data = samples.astype("<f4").tobytes()

    def told(sizes: list[int]) -> list[Event]:
        talk = Talk(LiveRules(spans=SPANS, longest_s=6.0), longest_clip_s=10.0)
        at, turn = 0, 0
        while at < len(data):
            talk.take(talk.session.push(data[at : at + sizes[turn % len(sizes)]], now_s=0.0))
            talk.answer_all()
            at, turn = at + sizes[turn % len(sizes)], turn + 1
        talk.finish()
        return sorted(talk.events, key=lambda event: (event.utterance, type(event).__name__))

    assert told([*cuts, 4_001]) == told([len(data)])  # the last, so that single bytes are not all there is: that would take minutes


def test_an_utterance_begins_stops_is_handed_over_and_answered() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello there."))
    talk.push(np.concatenate([silent(1.024), loud(1.024), silent(2.0)]))
    assert [type(event) for event in talk.events] == [Started, Stopped, HandedOver, Said]
    (started,), (stopped,), (handed,), (final,) = talk.of(Started), talk.of(Stopped), talk.of(HandedOver), talk.of(Said)
    assert started.at_s == pytest.approx(1.024 - 0.3)
    assert stopped.at_s == pytest.approx(2.048 + 0.512)  # 16 frames of silence
    assert (handed.start_s, handed.end_s) == pytest.approx((0.724, 2.248))
    assert (final.transcript.text, final.start_s, final.end_s) == ("Hello there.", handed.start_s, handed.end_s)


def test_the_recogniser_works_while_the_silence_lasts() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello there."))
    talk.push(np.concatenate([loud(1.024), silent(0.256)]))  # half of what ends it
    assert [request.clip.duration_s for request in talk.asked] == pytest.approx([1.224])  # and no more silence than is kept
    assert not talk.asked[0].tentative
    assert talk.finals == []
    talk.push(silent(0.256), answering=False)
    assert [type(event) for event in talk.events] == [Started, Stopped, HandedOver, Said]
    assert len(talk.asked) == 1


@pytest.mark.parametrize("partials", [False, True])
def test_who_speaks_on_after_half_the_silence_is_heard_whole(partials: bool) -> None:
    words = [RulerWord(number=n, start_sample=16_000 * (1 + n), n_samples=10_000) for n in range(3)]  # 0.375 s between them
    talk = Talk(LiveRules(spans=SPANS, partials=partials))
    talk.push(encode_words(words, 6.0).samples)
    assert [final.utterance for final in talk.finals] == [1]
    assert talk.words == written(words)
    assert len([request for request in talk.asked if not request.tentative]) == 3
    assert bool(talk.of(Partial)) == partials


@pytest.mark.parametrize("silence_s", [0.0, 0.032, 0.064])
def test_where_next_to_no_silence_ends_an_utterance_it_is_heard_whole(silence_s: float) -> None:
    words = [RulerWord(number=n, start_sample=16_000 * (1 + n), n_samples=10_000) for n in range(3)]
    talk = Talk(LiveRules(spans=SpanRules(least_silence_s=silence_s)))
    talk.push(encode_words(words, 6.0).samples)
    assert len(talk.finals) == 3
    assert talk.words == written(words)


def test_what_failed_while_the_silence_lasted_is_asked_again() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello there."))
    talk.push(np.concatenate([loud(1.024), silent(0.256)]), answering=False)
    talk.take(talk.session.failed(talk.requests.pop().ticket, RecognitionError("not now"), now_s=talk.now_s))
    talk.push(silent(1.0))
    assert [final.transcript.text for final in talk.finals] == ["Hello there."]
    assert talk.of(Failed) == []


def test_a_busy_machine_is_asked_once_the_silence_is_over() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello there."))
    talk.push(np.concatenate([loud(1.024), silent(2.0)]), answering=False)
    talk.answer_all()  # 1.7 s after it was asked
    talk.push(np.concatenate([loud(1.024), silent(0.4)]))
    assert len(talk.asked) == 1
    talk.push(silent(0.4))
    assert [len(talk.asked), len(talk.finals)] == [2, 2]


def test_silence_and_clicks_say_nothing() -> None:
    talk = Talk(LiveRules(spans=SPANS, partials=True))
    talk.push(np.concatenate([silent(3.0), loud(0.05), silent(3.0)]))
    talk.finish()
    assert talk.events == []
    assert talk.asked == []


def test_speech_that_nothing_follows_is_flushed_by_the_end() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Good bye."))
    talk.push(np.concatenate([silent(0.5), loud(1.003)]))
    assert talk.finals == []
    talk.finish()
    assert [final.transcript.text for final in talk.finals] == ["Good bye."]
    assert talk.finals[0].end_s == pytest.approx(1.503)
    assert not talk.session.answers_wanted


def test_stable_words_only_grow_and_the_final_begins_with_them() -> None:
    samples, words = speech(3, duration_s=30.0, pauses_s=(0.02,))
    talk = Talk(LiveRules(spans=SPANS, longest_s=36.0, partials=True))
    talk.push(samples)
    talk.finish()
    partials = talk.of(Partial)
    assert len(partials) > 40
    told = ""
    for partial in partials:
        told += "".join(token.text for token in partial.fresh.tokens)
        assert partial.stable.text == told
    (final,) = talk.finals
    assert told + "".join(token.text for token in final.fresh.tokens) == final.transcript.text
    assert len(told.split()) >= len(words) - 3
    assert talk.words == written(words)


def test_a_partial_hears_a_bounded_window_however_long_someone_speaks() -> None:
    samples, _ = speech(5, duration_s=30.0, pauses_s=(0.0,))
    talk = Talk(LiveRules(spans=SPANS, longest_s=36.0, partials=True))
    talk.push(samples)
    lengths_s = [request.clip.duration_s for request in talk.asked if request.tentative]
    assert max(lengths_s) < 10.0


def test_one_partial_is_out_at_a_time_and_withdrawn_when_the_utterance_ends() -> None:
    talk = Talk(LiveRules(spans=SPANS, partials=True), recognizer=FakeRecognizer("Hello there."))
    talk.push(loud(2.0), answering=False)
    (stale,) = talk.requests
    assert stale.tentative
    talk.push(silent(1.0), answering=False)
    (last,) = talk.requests
    assert not last.tentative
    talk.take(talk.session.answered(stale.ticket, spoken_evenly("Too late.", duration_s=1.0), now_s=9.0))
    talk.answer_all()
    assert [type(event) for event in talk.events] == [Started, Stopped, HandedOver, Said]


def test_partials_come_more_rarely_where_their_answers_are_slow() -> None:
    def n_asked(latency_s: float) -> int:
        talk = Talk(LiveRules(spans=SPANS, partials=True), recognizer=FakeRecognizer("Hello there."))
        answers: deque[tuple[float, Request]] = deque()
        for _ in range(500):
            talk.push(loud(0.02), answering=False)
            answers.extend((talk.now_s + latency_s, request) for request in talk.requests[len(answers) :])
            while answers and answers[0][0] <= talk.now_s:
                talk.answer(answers.popleft()[1])
        return len(talk.asked)

    assert n_asked(0.0) == pytest.approx(10 / 0.2, abs=5)
    assert n_asked(0.5) == pytest.approx(10 / 1.0, abs=2)


def test_finals_are_told_in_order_whatever_is_answered_first() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer(lambda clip: f"Of {clip.samples.size}."))
    for duration_s in (0.5, 0.7, 0.9):
        talk.push(np.concatenate([loud(duration_s), silent(1.0)]), answering=False)
    first, second, third = talk.requests
    talk.answer(third)
    talk.answer(second)
    assert talk.finals == []
    talk.answer(first)
    assert [final.utterance for final in talk.finals] == [1, 2, 3]


def test_a_failed_utterance_is_told_once_and_the_next_one_goes_on() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello."))
    talk.push(np.concatenate([loud(0.5), silent(1.0)]), answering=False)
    failure = RecognitionError("no luck")
    talk.take(talk.session.failed(talk.requests.pop().ticket, failure, now_s=0.0))
    talk.push(np.concatenate([loud(0.5), silent(1.0)]))
    assert talk.of(Failed) == [Failed(utterance=1, failure=failure)]
    assert [final.utterance for final in talk.finals] == [2]


def test_a_commit_ends_the_utterance_at_the_very_sample() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello."))
    talk.push(loud(1.0001))
    talk.take(talk.session.commit(now_s=0.0))
    talk.push(np.concatenate([loud(1.0), silent(1.0)]))
    assert talk.finals[0].end_s == talk.finals[1].start_s == pytest.approx(1.0001, abs=1e-4)
    assert len(talk.of(Stopped)) == 1  # the commit ended the first one, no pause


def test_a_commit_takes_what_nobody_was_heard_in_too() -> None:
    talk = Talk(LiveRules(spans=SPANS, longest_s=10.0), recognizer=FakeRecognizer("Whispered."))
    whisper = np.full(20 * MODEL_RATE_HZ, 0.005, np.float32)  # under the voice detector's threshold
    talk.push(whisper[: 4 * MODEL_RATE_HZ])
    talk.take(talk.session.commit(now_s=0.0))
    talk.push(whisper)
    talk.take(talk.session.commit(now_s=0.0))
    talk.answer_all()
    assert [(final.start_s, final.end_s, final.transcript.text) for final in talk.finals] == [
        (0.0, 4.0, "Whispered."),
        (14.0, 24.0, "Whispered."),
    ]
    assert talk.of(Started) == []


def test_next_to_nothing_cannot_be_committed() -> None:
    for rules in (LiveRules(spans=None), LiveRules(spans=SPANS)):
        talk = Talk(rules)
        with pytest.raises(EmptyBufferError):
            talk.session.commit(now_s=0.0)
        talk.push(loud(0.09))
        with pytest.raises(EmptyBufferError, match="90 ms"):
            talk.session.commit(now_s=0.0)
        talk.push(loud(0.02))
        talk.take(talk.session.commit(now_s=0.0))
        with pytest.raises(EmptyBufferError):
            talk.session.commit(now_s=0.0)


def test_cleared_sound_is_never_told() -> None:
    for spans in (None, SPANS):
        talk = Talk(LiveRules(spans=spans, partials=True), recognizer=FakeRecognizer("Hello."))
        talk.push(loud(1.0), answering=False)
        talk.take(talk.session.clear(now_s=0.0))
        talk.answer_all()
        talk.finish()
        assert talk.finals == []
        assert talk.of(HandedOver) == []


def test_idleness_is_told_on_the_clock_of_the_sound() -> None:
    talk = Talk(LiveRules(spans=SPANS, idle_s=5.0), recognizer=FakeRecognizer("Hello."))
    talk.push(np.concatenate([loud(1.0), silent(11.0)]))
    ends = [(event.start_s, event.end_s) for event in talk.of(Idle)]
    assert [end_s - start_s for start_s, end_s in ends] == pytest.approx([5.0, 5.0], abs=0.03)
    assert ends[0][1] == ends[1][0]


def test_voice_detection_can_be_switched_off_and_on_again() -> None:
    talk = Talk(LiveRules(spans=SPANS), recognizer=FakeRecognizer("Hello."))
    talk.push(loud(1.0))
    talk.take(talk.session.configure(LiveRules(spans=None), now_s=0.0))
    talk.push(silent(3.0))
    assert talk.of(HandedOver) == []
    talk.take(talk.session.configure(LiveRules(spans=SPANS), now_s=0.0))
    talk.push(silent(1.0))
    assert [final.transcript.text for final in talk.finals] == ["Hello."]
    assert [event.utterance for event in talk.of(Started)] == [1]


def test_no_clip_is_too_long_for_the_recogniser_though_the_rules_change_in_between() -> None:
    talk = Talk(LiveRules(spans=None), recognizer=FakeRecognizer("Hello."), longest_clip_s=9.0)
    talk.push(np.concatenate([silent(5.0), loud(1.0)]))
    talk.take(talk.session.configure(LiveRules(spans=SPANS), now_s=talk.now_s))
    talk.push(np.concatenate([loud(7.0), silent(1.0)]))
    assert max(request.clip.duration_s for request in talk.asked) <= 9.0
    assert {event.utterance for event in talk.of(Started)} == {final.utterance for final in talk.finals} == {1, 2}


@pytest.mark.parametrize("partials", [False, True])
def test_speech_that_is_none_by_new_rules_has_its_text_if_its_begin_was_told(partials: bool) -> None:
    rules = LiveRules(spans=SPANS, partials=partials)
    talk = Talk(rules, recognizer=FakeRecognizer("Hello there."))
    talk.push(np.concatenate([silent(1.024), loud(1.024)]))
    slow = msgspec.structs.replace(rules, spans=msgspec.structs.replace(SPANS, least_speech_s=2.0))
    talk.take(talk.session.configure(slow, now_s=talk.now_s))
    talk.answer_all()
    talk.push(silent(5.0))
    talk.push(np.concatenate([loud(3.0), silent(1.0)]))
    assert [event.utterance for event in talk.of(Started)] == [1, 2]
    assert [(final.utterance, final.transcript.text) for final in talk.finals] == [(1, "Hello there."), (2, "Hello there.")]
    assert talk.of(HandedOver)[0].end_s == 2.048


def test_what_is_kept_does_not_grow_with_silence_or_with_speech() -> None:
    talk = Talk(LiveRules(spans=SPANS, longest_s=8.0), recognizer=FakeRecognizer("Hello."))
    for _ in range(30):
        talk.push(silent(4.0), chunk=1_600)
        talk.push(loud(4.0), chunk=1_600)
    assert talk.session._track._buffer.size < 60 * MODEL_RATE_HZ


def silent(duration_s: float) -> Samples:
    return np.zeros(round(duration_s * MODEL_RATE_HZ), np.float32)


def loud(duration_s: float) -> Samples:
    return np.full(round(duration_s * MODEL_RATE_HZ), 0.25, np.float32)


class Session(RuleBasedStateMachine):
    """Anything a client, a network and a busy recogniser may do, in any order."""

    @initialize(manual=st.booleans(), partials=st.booleans())
    def begin(self, manual: bool, partials: bool) -> None:
        self.talk = Talk(
            LiveRules(spans=None if manual else SPANS, longest_s=5.0, partials=partials),
            recognizer=FakeRecognizer(lambda clip: "Some words of it. " * round(1 + clip.duration_s)),
            longest_clip_s=9.0,
        )

    @rule(duration_s=st.floats(0.001, 7.0), sounds=st.booleans(), chunk=st.sampled_from([160, 5_000, 200_000]))
    def hear(self, duration_s: float, sounds: bool, chunk: int) -> None:
        self.talk.push(loud(duration_s) if sounds else silent(duration_s), chunk=chunk, answering=False)

    @precondition(lambda self: self.talk.requests)
    @rule(pick=st.integers(0, 1_000), fails=st.sampled_from([False, False, False, True]))
    def answer_any(self, pick: int, fails: bool) -> None:
        request = self.talk.requests[pick % len(self.talk.requests)]
        if fails:
            self.talk.requests.remove(request)
            self.talk.take(self.talk.session.failed(request.ticket, RecognitionError("no luck"), now_s=self.talk.now_s))
        else:
            self.talk.answer(request)

    @rule()
    def commit(self) -> None:
        with suppress(EmptyBufferError):
            self.talk.take(self.talk.session.commit(now_s=self.talk.now_s))

    @rule()
    def clear(self) -> None:
        self.talk.take(self.talk.session.clear(now_s=self.talk.now_s))

    @rule(manual=st.booleans(), partials=st.booleans())
    def configure(self, manual: bool, partials: bool) -> None:
        rules = LiveRules(spans=None if manual else SPANS, longest_s=5.0, partials=partials)
        self.talk.take(self.talk.session.configure(rules, now_s=self.talk.now_s))

    @invariant()
    def all_is_told_in_order(self) -> None:
        handed = [event.utterance for event in self.talk.of(HandedOver)]
        answered = [event.utterance for event in self.talk.events if isinstance(event, Said | Failed)]
        assert handed == sorted(set(handed))
        assert answered == handed[: len(answered)]
        stopped = [event.utterance for event in self.talk.of(Stopped)]
        assert set(stopped) <= {event.utterance for event in self.talk.of(Started)}

    @invariant()
    def no_clip_is_longer_than_the_recogniser_takes(self) -> None:
        assert all(0 < request.clip.duration_s <= self.talk.longest_clip_s for request in self.talk.asked)

    @invariant()
    def what_was_stable_stays(self) -> None:
        told: dict[int, str] = {}
        for event in self.talk.events:
            if isinstance(event, Partial | Said):
                before = told.get(event.utterance, "")
                told[event.utterance] = before + "".join(token.text for token in event.fresh.tokens)
                whole: Transcript = event.stable if isinstance(event, Partial) else event.transcript
                assert whole.text == told[event.utterance].strip()

    def teardown(self) -> None:
        self.talk.finish()
        self.all_is_told_in_order()
        assert not self.talk.session.answers_wanted
        handed = self.talk.of(HandedOver)
        assert len(handed) == sum(isinstance(event, Said | Failed) for event in self.talk.events)


Session.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSession: Callable[..., object] = Session.TestCase
