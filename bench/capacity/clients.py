"""Who asks: files in closed loop or at arrivals, and live sessions. All of them note how long they waited."""

import random
from collections.abc import Generator, Iterator, Sequence
from itertools import count
from typing import Any, Final

import msgspec
import simpy

from app.domain.live_rules import LiveRules

from .simulation import Job, Service, Steps

_RETRY_S: Final = 1.0  # after a refusal
_MESSAGE_S: Final = 0.1  # of a session's sound: what a second costs is charged in such pieces
_LEAST_NEW_S: Final = 0.1  # as in `app/domain/live.py`: of sound for another partial,
_LATENCIES_APART: Final = 2.0  # partials begin this many times their latency apart,
_LONGEST_PARTIAL_S: Final = 8.0  # and one that would hear more leaves out what is stable,
_CONTEXT_S: Final = 2.0  # but for so much of it


class Heard(msgspec.Struct, kw_only=True):
    """What came of files; `at_s` is when each was answered."""

    latency_s: list[float] = []
    at_s: list[float] = []
    audio_s: float = 0.0
    refused: int = 0


class Finals(msgspec.Struct, kw_only=True):
    """What came of live sessions: how long after the end of speech each final came, and how long each partial took."""

    final_s: list[float] = []
    partial_s: list[float] = []
    speech_s: float = 0.0


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody speaks, and how the session is heard."""

    utterances_s: Sequence[float]  # lengths to choose from
    noticed_s: Sequence[float]  # how long after their end it is known that they are over, to choose from
    pauses_s: tuple[float, float] = (0.8, 2.0)
    silence_s: float = 0.2  # ends an utterance
    partials: bool = True


def send(service: Service, duration_s: float, heard: Heard) -> Generator[simpy.Event, Any, bool]:
    """Send one file now; returns whether it was let in."""
    env, since_s = service.env, service.env.now
    if not service.takes_files:
        heard.refused += 1
        return False
    yield from service.hear(duration_s)
    heard.latency_s.append(env.now - since_s)
    heard.at_s.append(env.now)
    heard.audio_s += duration_s
    return True


def open_loop(services: Sequence[Service], arrivals: Iterator[tuple[float, float]], heard: Heard) -> Steps:
    """Send files as they arrive, (when, how long), to the services in turn."""
    env = services[0].env
    for number, (at_s, duration_s) in enumerate(arrivals):
        yield env.timeout(max(0.0, at_s - env.now))
        env.process(send(services[number % len(services)], duration_s, heard))


def closed_loop(services: Sequence[Service], lengths_s: Iterator[float], heard: Heard, *, clients: int) -> list[simpy.Process]:
    """Have clients send the next file once their last is answered, or a while after it was refused, until there are no more."""

    def client(number: int) -> Steps:
        for duration_s in lengths_s:
            service = services[number % len(services)]
            if not (yield from send(service, duration_s, heard)):
                yield service.env.timeout(_RETRY_S)

    return [services[0].env.process(client(number)) for number in range(clients)]


def poisson(rate_per_s: float, until_s: float, lengths_s: Sequence[float], chance: random.Random) -> Iterator[tuple[float, float]]:
    """Yield arrivals independent of one another."""
    at_s = chance.expovariate(rate_per_s)
    while at_s < until_s:
        yield at_s, chance.choice(lengths_s)
        at_s += chance.expovariate(rate_per_s)


class Session:
    """One live session: speaks, pauses, and is heard as `app/domain/live.py` does it."""

    def __init__(self, service: Service, talk: Talk, found: Finals, chance: random.Random) -> None:
        self._service, self._env, self._talk, self._found, self._chance = service, service.env, talk, found, chance
        self._latency_s = 0.0
        self._partial: Job | None = None
        self._n_finals = 0  # asked for and not answered
        self._asked_s = -LiveRules().partial_every_s

    def run(self, until_s: float) -> Steps:
        """Hold the session until some utterance ends after `until_s`."""
        engine = self._service.engine
        yield self._env.timeout(self._chance.uniform(0.0, 3.0))  # sessions do not speak in step
        engine.live_sessions += 1
        for number in count(self._chance.randrange(len(self._talk.utterances_s))):
            if self._env.now >= until_s:
                break
            noticed_s = self._chance.choice(self._talk.noticed_s)
            yield from self._sound(self._chance.uniform(*self._talk.pauses_s) - noticed_s)
            yield from self._utterance(self._talk.utterances_s[number % len(self._talk.utterances_s)], noticed_s)
        engine.live_sessions -= 1

    def _utterance(self, speech_s: float, noticed_s: float) -> Steps:
        began_s = from_s = asked_to_s = self._env.now
        over_s = began_s + speech_s
        while self._env.now < over_s - 1e-9:
            yield from self._sound(min(_MESSAGE_S, over_s - self._env.now))
            if self._env.now - from_s > _LONGEST_PARTIAL_S and self._partial is None:
                from_s = self._env.now - _CONTEXT_S
            every_s = max(LiveRules().partial_every_s, _LATENCIES_APART * self._latency_s)
            due = self._env.now - max(asked_to_s, from_s) >= _LEAST_NEW_S and self._env.now - self._asked_s >= every_s
            if self._talk.partials and due and self._partial is None and not self._n_finals:
                asked_to_s = self._asked_s = self._env.now
                self._partial = self._service.engine.submit(self._env.now - from_s, live=True, tentative=True)
                self._env.process(self._answered(self._partial))
        self._found.speech_s += speech_s
        ended_s, silence_s = self._env.now, self._talk.silence_s
        early = self._latency_s <= silence_s
        yield from self._sound(noticed_s - silence_s / 2 if early else noticed_s)
        if self._partial:
            self._service.engine.withdraw(self._partial)
            self._partial = None
        self._n_finals += 1
        final = self._service.engine.submit(self._env.now - from_s, live=True)
        self._env.process(self._final(final, ended_s, ended_s + noticed_s))
        if early:
            yield from self._sound(silence_s / 2)

    def _sound(self, lasts_s: float) -> Steps:
        """Let sound pass, and have the worker take it in."""
        over_s = self._env.now + lasts_s
        while (left_s := over_s - self._env.now) > 1e-9:
            piece_s = min(_MESSAGE_S, left_s)
            yield self._env.timeout(piece_s)
            self._env.process(self._service.work(self._service.api.live_s * piece_s))

    def _answered(self, job: Job) -> Steps:
        yield job.done
        if self._partial is job:  # else nobody waits for it any more
            self._partial, self._latency_s = None, self._env.now - job.waiting.since_s
            self._found.partial_s.append(self._latency_s)

    def _final(self, job: Job, ended_s: float, known_s: float) -> Steps:
        yield job.done
        self._n_finals -= 1
        self._latency_s = self._env.now - job.waiting.since_s
        yield from self._service.work(0.0)  # what the worker has to do before
        self._found.final_s.append(max(self._env.now, known_s) - ended_s)


def live_sessions(services: Sequence[Service], talk: Talk, found: Finals, *, n: int, until_s: float, seed: int = 0) -> None:
    """Begin sessions, shared out among the services in turn."""
    for number in range(n):
        session = Session(services[number % len(services)], talk, found, random.Random(f"{seed} {number}"))
        services[0].env.process(session.run(until_s))
