"""Sends the corpus to a service, and looks at it after each case."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import httpx
import msgspec

from ..soak_facts import Facts, at_rest, more_held
from ..victim import Victim
from ..warming import fill_batches, hear_long
from .case import TRANSCRIPTIONS, Case, Sent
from .disguises import TRAP_PORT
from .exchange import exchanged
from .judging import fault_of, summary
from .memory import Rise
from .sounds import wav

_PATIENCE_S: Final = 60.0
_WARM_UP: Final = 24
_HONEST_S: Final = 0.5  # between honest requests beside those that take their time
_COUNTED: Final = ("processes", "descriptors", "files", "tasks")  # threads: a pool's come as they are needed


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a case."""

    case: Case
    faults: tuple[str, ...]
    told: str  # what came back, in short
    seconds: float
    rise_mib: float | None = None  # None: others ran beside it


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all of them."""

    verdicts: Sequence[Verdict]
    faults: Sequence[str]  # of the service, when all was over
    before: Facts
    after: Facts
    honest_mib: float  # by how much an honest file of ten minutes raised memory; 0 if none was sent
    seconds: float


class Runner:
    """One service under fire."""

    def __init__(self, victim: Victim, *, budget_mib: float, on_verdict: Callable[[Verdict], None]) -> None:
        self._victim, self._budget_mib, self._on_verdict = victim, budget_mib, on_verdict
        self._n_events = self._n_spoken = 0
        self._honest_mib = 0.0
        self._calm = self._heard()

    def run(self, cases: Sequence[Case]) -> Outcome:
        """Send all cases, those that take their time beside one another."""
        began_s = time.monotonic()
        self._warm_up()
        if any(case.heard_long for case in cases):
            with Rise(self._victim) as rise:
                hear_long(self._victim.url)
            self._honest_mib = rise.mib
        before, worker = at_rest(self._victim), self._victim.worker()
        with socket.create_server(("127.0.0.1", TRAP_PORT)) as trap:
            verdicts = [self._alone(case) for case in cases if not case.waits]
            verdicts += asyncio.run(self._together([case for case in cases if case.waits]))
            faults = self._came_for(trap)
        after = at_rest(self._victim)
        faults += [] if self._victim.worker() == worker else ["the worker was replaced"]
        faults += [] if httpx.get(f"{self._victim.url}/healthz").status_code == httpx.codes.OK else ["the service is not healthy"]
        faults += [] if self._heard() == self._calm else ["a good request got no right answer"]
        faults += self._logged()
        faults += more_held(before, after, _COUNTED)
        seconds = time.monotonic() - began_s
        return Outcome(verdicts=verdicts, faults=faults, before=before, after=after, honest_mib=self._honest_mib, seconds=seconds)

    def _alone(self, case: Case) -> Verdict:
        sent = case.build()
        with Rise(self._victim) as rise:
            verdict = asyncio.run(self._sent(case, sent))
        faults = list(verdict.faults)
        if rise.mib > self._budget_mib + (self._honest_mib if case.heard_long else 0.0):
            faults.append(f"memory rose by {rise.mib:.0f} MiB")
        if (heard := self._heard()) != self._calm:
            faults.append(f"a good request got {heard!r} afterwards")
        verdict = msgspec.structs.replace(verdict, faults=(*faults, *self._logged()), rise_mib=rise.mib)
        self._on_verdict(verdict)
        return verdict

    async def _together(self, cases: Sequence[Case]) -> list[Verdict]:
        sending = [asyncio.create_task(self._sent(case, case.build())) for case in cases]
        heard = {self._calm}
        while not all(task.done() for task in sending):
            heard.add(await asyncio.to_thread(self._heard))
            await asyncio.sleep(_HONEST_S)
        verdicts = [task.result() for task in sending]
        if verdicts and (others := heard - {self._calm}):
            verdicts[0] = msgspec.structs.replace(
                verdicts[0], faults=(*verdicts[0].faults, f"beside all of them honest requests got {others}")
            )
        for verdict in verdicts:
            self._on_verdict(verdict)
        return verdicts

    async def _sent(self, case: Case, sent: Sent) -> Verdict:
        began_s, told = time.monotonic(), "nothing"
        try:
            got = await asyncio.wait_for(exchanged(self._victim.url, sent), case.within_s)
        except TimeoutError:
            fault = f"it was not over within {case.within_s:.0f} s"
        except OSError as failure:
            fault = f"no connection: {failure}"
        else:
            fault, told = fault_of(case, got, self._calm), summary(got)
        return Verdict(case=case, faults=(fault,) if fault else (), told=told, seconds=time.monotonic() - began_s)

    def _warm_up(self) -> None:
        """Have the service do what it does for everybody: the model's batches take memory once, and that is nobody's attack."""
        for _ in range(_WARM_UP):
            self._heard()
        fill_batches(self._victim.url)

    def _heard(self) -> str:
        """Return what a good request is told: its text, or what came in its place."""
        try:
            answer = httpx.post(self._victim.url + TRANSCRIPTIONS, files={"file": wav()}, timeout=_PATIENCE_S)
        except httpx.TransportError as failure:
            return repr(failure)
        return str(answer.json()["text"]) if answer.status_code == httpx.codes.OK else f"{answer.status_code} {answer.text[:200]}"

    def _came_for(self, trap: socket.socket) -> list[str]:
        trap.setblocking(False)
        try:
            trap.accept()[0].close()
        except BlockingIOError:
            return []
        return ["somebody opened an address that a file named"]

    def _logged(self) -> list[str]:
        """Return what is wrong with what was logged since the last look."""
        events, spoken = self._victim.events[self._n_events :], self._victim.spoke[self._n_spoken :]
        self._n_events, self._n_spoken = self._n_events + len(events), self._n_spoken + len(spoken)
        bad = [
            event for event in events if event.get("level") in ("error", "critical") or "exception" in event or _is_failure(event)
        ]
        return [f"logged: {str(event)[:600]}" for event in bad] + [f"printed: {line[:300]}" for line in spoken]


def _is_failure(event: Mapping[str, object]) -> bool:
    status = event.get("status")
    return isinstance(status, int) and status >= httpx.codes.INTERNAL_SERVER_ERROR
