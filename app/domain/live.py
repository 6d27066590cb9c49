"""Use case: one live session. Sound goes in as it comes; what to recognise and what to tell come out. No clock, no thread.

An utterance is recognised whole when it is over, or rather once half the silence that ends it has passed: the recogniser works
while the other half does, and if someone speaks on after all it was but a partial. Where nobody pauses it is cut at the quietest
point, and both sides hear some seconds across the cut: a word belongs to the side that its middle is on.
"""

from collections import deque
from typing import Final as Constant

from .audio import MODEL_RATE_HZ, SHORTEST_CLIP_S, Clip, Samples
from .errors import EmptyBufferError, SpeechError
from .listening import Listener, SpeechEnded, SpeechPaused
from .live_events import Event, Failed, Final, HandedOver, Idle, Partial, Request, Started, Step, Stopped
from .live_rules import LiveRules, Sound
from .pcm import PcmReader
from .ports import VoiceDetector
from .seams import HeardWord, continuing, heard_words
from .track import Track
from .transcript import Transcript
from .utterance import Utterance, Window
from .windows import OVERLAP_S

_LEAST_NEW_S: Constant = 0.1  # of sound that no partial has heard yet: less is not worth the next one
_LATENCIES_APART: Constant = 2.0  # partials begin this many times their own latency apart: a busy machine has fewer of them
_PARTIAL_WINDOW_S: Constant = 8.0  # a partial that would hear more leaves out what is stable; chosen
_KEPT_WORDS: Constant = 8  # of what was said before a cut: enough to know them again after it


class LiveSession:
    """One client's stream. Its calls must not overlap; each returns what follows from it."""

    def __init__(self, detector: VoiceDetector, sound: Sound, rules: LiveRules, *, longest_clip_s: float) -> None:
        """Begin.

        Args:
            longest_clip_s: Of the recogniser.
        """
        self._detector, self._longest_clip_s = detector, longest_clip_s
        self._track = Track()
        self._n_utterances = self._n_tickets = 0
        self._open: Utterance | None = None
        self._floor = 0  # everything before was committed, cleared, or belongs to an utterance that is over
        self._quiet_from = 0  # since when nobody speaks, for `idle_s`
        self._due: deque[Window] = deque()  # final windows whose last samples are still to come
        self._asked: deque[Window] = deque()  # final windows in order; answers wait for those before them
        self._before: list[HeardWord] = []  # what was said right before a cut
        self._partial: Window | None = None  # the one that is out
        self._partial_end, self._partial_asked_s = 0, -rules.partial_every_s
        self._early: Window | None = None  # what was asked in the last pause, and is the utterance's whole if that ends it
        self._latency_s = 0.0  # of the last answer
        self._resumed: Utterance | None = None  # was open when the rules changed
        self._events: list[Event] = []
        self._requests: list[Request] = []
        self._withdrawn: list[int] = []
        self.listen_to(sound)
        self._rules = rules
        self._configure(rules)

    @property
    def heard_s(self) -> float:
        """How much sound came in."""
        return self._track.end / MODEL_RATE_HZ

    @property
    def backlog_s(self) -> float:
        """Sound that was handed over and is not answered yet."""
        return sum(window.end - window.start for window in (*self._asked, *self._due)) / MODEL_RATE_HZ

    def listen_to(self, sound: Sound) -> None:
        """Take the next bytes for another kind of sound; what the one before it held back is lost."""
        self._reader, self._resampler = PcmReader(sound.encoding), sound.resampler

    def configure(self, rules: LiveRules, *, now_s: float) -> Step:
        """Hear on by other rules. If the way utterances end changes, the present one goes on by the new one."""
        if rules.spans != self._rules.spans or rules.longest_s != self._rules.longest_s:
            self._configure(rules)
        self._rules = rules
        return self._step(now_s)

    def push(self, data: bytes, *, now_s: float) -> Step:
        """Take the next bytes, of any number."""
        self._hear(self._resampler.push(self._reader.push(data)))
        return self._step(now_s)

    def answered(self, ticket: int, transcript: Transcript, *, now_s: float) -> Step:
        """Take the answer to a request; one that was withdrawn is ignored."""
        self._take(ticket, transcript, now_s)
        return self._step(now_s)

    def failed(self, ticket: int, failure: SpeechError, *, now_s: float) -> Step:
        """Take the failure of a request: of a partial it is nobody's concern."""
        self._take(ticket, failure, now_s)
        return self._step(now_s)

    def commit(self, *, now_s: float) -> Step:
        """End the present utterance now; if nobody was heard speaking, all sound since the last one is one, up to `longest_s`.

        Raises:
            EmptyBufferError: There is less than `SHORTEST_CLIP_S` of sound since the last one.
        """
        buffered_s = (self._track.end - self._floor) / MODEL_RATE_HZ
        if buffered_s < SHORTEST_CLIP_S:
            raise EmptyBufferError(buffered_s=buffered_s, least_s=SHORTEST_CLIP_S)
        utterance = self._open or self._begun(self._unheard_from, told=False)
        self._end(utterance, self._track.end, until=None)
        self._begin_anew()
        return self._step(now_s)

    def clear(self, *, now_s: float) -> Step:
        """Forget the present utterance and all sound that belongs to no earlier one."""
        if self._open:
            self._open.cleared = True
            self._withdraw_partial()
        self._begin_anew()
        return self._step(now_s)

    def finish(self, *, now_s: float) -> Step:
        """End the sound: whatever is left of speech is handed over. Answers may still come."""
        self._hear(self._resampler.finish())
        if self._open and self._track.end > self._open.start:
            self._end(self._open, self._track.end, until=None)
        self._begin_anew()
        return self._step(now_s)

    @property
    def answers_wanted(self) -> bool:
        """Whether an utterance was handed over and is not answered yet."""
        return bool(self._asked or self._due)

    def _configure(self, rules: LiveRules) -> None:
        self._rules = rules
        overlap_s = min(OVERLAP_S, self._longest_clip_s / 4)
        self._longest_s = min(rules.longest_s, self._longest_clip_s - overlap_s)
        self._reach = round(overlap_s / 2 * MODEL_RATE_HZ)
        self._withdraw_partial()
        self._early = None
        self._resumed, self._open = self._open, None
        at = self._resumed.window_start if self._resumed else self._track.end
        self._listener = Listener(self._detector, rules.spans, longest_s=self._longest_s, at=at)
        self._listen(self._track.cut(at, self._track.end))
        present, self._resumed = self._resumed, None
        if present and (present.started or present.n_told):  # by the new rules it is no speech; but the client was told of it
            self._end(present, self._track.end, until=None)
            self._begin_anew()

    def _hear(self, samples: Samples) -> None:
        self._track.append(samples)
        self._listen(samples)
        idle_s = self._rules.idle_s
        if idle_s is not None and not self._open and self._track.end - self._quiet_from >= idle_s * MODEL_RATE_HZ:
            self._n_utterances += 1
            self._tell(Idle(utterance=self._n_utterances, start_s=_s(self._quiet_from), end_s=self.heard_s))
            self._quiet_from = self._track.end

    def _listen(self, samples: Samples) -> None:
        for told in self._listener.push(samples):
            if isinstance(told, SpeechEnded):
                self._speech_ended(self._open or self._begun(told.start), told)
            elif isinstance(told, SpeechPaused):
                if self._open:
                    self._speech_paused(self._open, told)
            elif self._open is None:
                self._begun(told.start)

    def _speech_paused(self, utterance: Utterance, told: SpeechPaused) -> None:
        self._early = None
        if self._latency_s > self._listener.least_silence_s or self._due:
            return  # a busy machine is not asked for what may be in vain; nor does anything overtake what waits for samples
        self._withdraw_partial()
        self._early = self._partial = self._window(utterance, end=told.end, ends=True)

    def _speech_ended(self, utterance: Utterance, told: SpeechEnded) -> None:
        early, self._early = self._early, None
        if not told.goes_on:
            self._tell(Stopped(utterance=utterance.number, at_s=_s(told.known)))
            self._end(utterance, told.end, until=None, early=None if self._due else early)
        elif self._rules.spans:
            self._tell(Stopped(utterance=utterance.number, at_s=_s(told.end)))
            self._end(utterance, told.end, until=told.end)
            self._begun(told.end).window_start = max(utterance.start, told.end - self._reach)
        else:  # only `commit` ends an utterance; what is recognised at once has its limit all the same
            self._ask_for(utterance, told.end + self._reach, until=told.end, ends=False)
            utterance.window_start = max(utterance.start, told.end - self._reach)

    @property
    def _unheard_from(self) -> int:
        """The first sample that an utterance which is still to begin may hold."""
        return max(self._floor, self._track.end - round(self._longest_s * MODEL_RATE_HZ))

    def _begun(self, start: int, *, told: bool = True) -> Utterance:
        utterance, self._resumed = self._resumed, None
        if utterance is None:
            self._n_utterances += 1
            utterance = Utterance(number=self._n_utterances, start=start, window_start=start)
        else:  # what lies before is no speech by the new rules, and would make a window longer than one may be
            utterance.window_start = max(utterance.window_start, start)
        if told and self._rules.spans and not utterance.started:
            utterance.started = True
            self._tell(Started(utterance=utterance.number, at_s=_s(utterance.start)))
        self._open = utterance
        return utterance

    def _begin_anew(self) -> None:
        self._open = self._early = None
        self._floor = self._quiet_from = self._track.end
        for window in self._due:  # what it waited for belongs to nobody
            window.end = min(window.end, self._floor)
        self._listener.begin_anew(self._floor)

    def _end(self, utterance: Utterance, end: int, *, until: int | None, early: Window | None = None) -> None:
        utterance.end = end
        if early:
            self._partial = None  # if anything is out, it is that
            self._asked.append(early)
        else:
            self._ask_for(utterance, end if until is None else end + self._reach, until=until, ends=True)
        self._tell(HandedOver(utterance=utterance.number, start_s=_s(utterance.start), end_s=_s(end)))
        self._open, self._floor, self._quiet_from = None, end, end

    def _ask_for(self, utterance: Utterance, end: int, *, until: int | None, ends: bool) -> None:
        self._withdraw_partial()
        self._due.append(self._window(utterance, end=end, until=until, ends=ends))

    def _window(self, utterance: Utterance, *, end: int, ends: bool, until: int | None = None) -> Window:
        self._n_tickets += 1
        start = utterance.window_start
        return Window(ticket=self._n_tickets, utterance=utterance, start=start, end=end, until=until, ends=ends)

    def _withdraw_partial(self) -> None:
        if self._partial and self._partial.asked_s is not None:
            self._withdrawn.append(self._partial.ticket)
        self._partial = None

    def _take(self, ticket: int, answer: Transcript | SpeechError, now_s: float) -> None:
        partial = self._partial if self._partial and self._partial.ticket == ticket else None
        for window in (partial,) if partial else self._asked:
            if window.ticket == ticket and window.asked_s is not None:
                window.answer, self._latency_s = answer, now_s - window.asked_s
        if partial:
            self._partial = None
            if isinstance(answer, SpeechError):
                self._early = None
            elif self._rules.partials:
                self._partial_answered(partial, answer)

    def _partial_answered(self, window: Window, answer: Transcript) -> None:
        utterance = window.utterance
        if utterance.hypothesis(self._following(window, answer)):
            stable, fresh, tentative = utterance.told()
            self._tell(Partial(utterance=utterance.number, stable=stable, fresh=fresh, tentative=tentative))
        longest_s = min(_PARTIAL_WINDOW_S, self._longest_s * 3 / 4)
        if self._track.end - utterance.window_start > longest_s * MODEL_RATE_HZ:
            utterance.shorten()

    def _window_answered(self, window: Window, answer: Transcript | SpeechError) -> None:
        utterance = window.utterance
        if isinstance(answer, SpeechError):
            utterance.failure = answer
        else:
            utterance.settle(self._following(window, answer))
        if not window.ends:
            return
        self._before = [*self._before, *utterance.settled][-_KEPT_WORDS:] if window.until is not None else []
        if utterance.cleared:
            return
        if utterance.failure:
            self._tell(Failed(utterance=utterance.number, failure=utterance.failure))
            return
        transcript, fresh, _ = utterance.told()
        start_s, end_s = _s(utterance.start), _s(utterance.end)
        self._tell(Final(utterance=utterance.number, transcript=transcript, fresh=fresh, start_s=start_s, end_s=end_s))

    def _following(self, window: Window, answer: Transcript) -> list[HeardWord]:
        """Return what a window says after all that is settled."""
        words = heard_words(answer.shifted(_s(window.start)))
        found = continuing([*self._before, *window.utterance.settled], words)
        return found if window.until is None else [one for one in found if one.middle_s <= _s(window.until)]

    def _tell(self, event: Event) -> None:
        self._events.append(event)

    def _step(self, now_s: float) -> Step:
        while self._due and self._due[0].end <= self._track.end:
            self._asked.append(self._due.popleft())
        while self._asked and (answer := self._asked[0].answer) is not None:
            self._window_answered(self._asked.popleft(), answer)
        if self._open and self._partial_is_due(self._open, now_s):
            self._partial = self._window(self._open, end=self._track.end, ends=False)
        if self._partial and self._partial.asked_s is None:
            self._partial_asked_s, self._partial_end = now_s, self._partial.end
        for window in (*self._asked, *((self._partial,) if self._partial else ())):
            if window.asked_s is None:
                window.asked_s = now_s
                self._requests.append(self._request(window, tentative=window is self._partial and window is not self._early))
        present = self._open.window_start if self._open else self._unheard_from
        self._track.let_go(min([present, *(window.start for window in self._due)]))
        step = Step(events=tuple(self._events), requests=tuple(self._requests), withdrawn=tuple(self._withdrawn))
        self._events, self._requests, self._withdrawn = [], [], []
        return step

    def _partial_is_due(self, utterance: Utterance, now_s: float) -> bool:
        if not self._rules.partials or self._partial or self._asked or self._due or (self._early and self._listener.pauses):
            return False
        new_s = (self._track.end - max(self._partial_end, utterance.window_start)) / MODEL_RATE_HZ
        every_s = max(self._rules.partial_every_s, _LATENCIES_APART * self._latency_s)
        return new_s >= _LEAST_NEW_S and now_s - self._partial_asked_s >= every_s

    def _request(self, window: Window, *, tentative: bool) -> Request:
        clip = Clip(self._track.cut(window.start, window.end))
        return Request(ticket=window.ticket, clip=clip, options=self._rules.options, tentative=tentative)


def _s(place: int) -> float:
    return place / MODEL_RATE_HZ
