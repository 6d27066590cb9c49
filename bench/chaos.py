"""Is everybody answered, and with their own words, while the service is tormented? `just chaos`

`python -m bench.chaos` sends thousands of requests; meanwhile it kills processes, threads and the device, fills the disk, stops
and starts the service; clients leave, and some audio is poison. With the ruler as its model every text is known to the word.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from .asking import Fate, Told, tell
from .asks import Ask, form, recorded_asks, ruler_asks
from .chaos_report import Verdict, judged, show
from .child import ROOT, BenchError
from .flags import console, guarded
from .service import RULER, SERVE
from .troubled_ruler import RUN_S, float_wav, said, text_of
from .troubles import Done, Trouble, Troubles
from .victim import Victim

_RUN_S: Final = "0.01"  # of the ruler's batches, so that something is under way whenever something happens
_CLIENTS: Final = 24
_PAUSE_S: Final = 0.25  # of a client that was refused or found nobody: less than it is told, to keep the load up
_CALM_S: Final = 1.0  # between two troubles
_APART_S: Final = 6.0  # between two that end a worker: Granian gives up where the second follows within 5.5 s
SEED: Final = 6


class Chaos:
    """One run against one kind of model."""

    def __init__(self, victim: Victim, asks: Iterator[Ask]) -> None:
        self._victim, self._asks = victim, asks
        self.told: list[Told] = []
        self.done: list[Done] = []

    async def run(self, plan: Sequence[Trouble]) -> None:
        """Ask until all is asked, and make one trouble of `plan` after the other meanwhile, over and over."""
        clients = [asyncio.create_task(self._client()) for _ in range(_CLIENTS)]
        over = asyncio.Event()
        tormenting = asyncio.create_task(self._torment(plan, over))
        tormenting.add_done_callback(lambda _task: over.set())
        await asyncio.gather(*clients)
        over.set()
        await tormenting

    async def _client(self) -> None:
        for ask in self._asks:
            told = await tell(self._victim.url, ask)
            self.told.append(told)
            if told.fate in (Fate.REFUSED, Fate.UNREACHED):
                await asyncio.sleep(_PAUSE_S)

    async def _torment(self, plan: Sequence[Trouble], over: asyncio.Event) -> None:
        while True:
            for make in plan:
                calm_s = max([_CALM_S, *(done.at_s + _APART_S - time.monotonic() for done in self.done[-1:] if done.replaces)])
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), calm_s)
                if over.is_set():
                    return
                self._victim.remember()
                self.done.append(await make())


def tormented(
    victim: Victim, asks: Callable[[], Iterator[Ask]], troubles: Troubles, plan: Mapping[str, Trouble], *, with_ruler: bool
) -> Verdict:
    """Start the service, torment it with those `troubles` that are in the `plan`, and look at what is left of it."""
    began_s = time.monotonic()
    victim.start()
    try:
        victim.wait_until_ready()
        chaos = Chaos(victim, asks())
        asyncio.run(chaos.run(list(plan.values())))
        after = [] if _still_right(victim, with_ruler=with_ruler) else ["a good request got no right answer afterwards"]
        status = asyncio.run(troubles.end())
        after += [] if status == 0 else [f"the service ended with {status}"]
        after += [f"process {left.pid} ({left.name()}) is left" for left in victim.survivors()]
        after += [f"file {name} is left" for name in victim.left_files()]
    finally:
        victim.close()
    return judged(chaos.told, chaos.done, victim.events, after, seconds=time.monotonic() - began_s)


def chosen(troubles: Mapping[str, Trouble], only: Collection[str]) -> dict[str, Trouble]:
    """Return the troubles that are named; all if none is."""
    return {name: make for name, make in troubles.items() if name in only or not only}


def _still_right(victim: Victim, *, with_ruler: bool) -> bool:
    data = float_wav(said(1, 2, 3)) if with_ruler else _files()["01"]
    answer = httpx.post(f"{victim.url}/v1/audio/transcriptions", files={"file": data}, timeout=60)
    return answer.status_code == httpx.codes.OK and (not with_ruler or answer.json()["text"] == text_of(1, 2, 3))


def _files() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((ROOT / "tests" / "data").glob("*.flac"))}


def _with_ruler(n: int, folder: Path, only: Collection[str]) -> Verdict:
    victim = Victim(RULER, {RUN_S: _RUN_S}, uploads=folder)
    troubles = Troubles(victim, seed=SEED)
    return tormented(victim, lambda: ruler_asks(n, seed=SEED), troubles, chosen(troubles.all(), only), with_ruler=True)


def _with_bundled(n: int, folder: Path, only: Collection[str]) -> Verdict:
    files, victim = _files(), Victim(SERVE, {"STT_MODEL": "bundled"}, uploads=folder)

    def asks() -> Iterator[Ask]:
        texts = {}
        for name, data in files.items():  # in calm
            told = asyncio.run(tell(victim.url, form(0, "file", "", data)))
            if told.fate is not Fate.FOREIGN:
                raise BenchError(f"{name} cannot be transcribed in calm: {told.fate} {told.detail}")
            texts[name] = told.heard
        return recorded_asks(n, files, texts, seed=SEED)

    troubles = Troubles(victim, seed=SEED)
    return tormented(victim, asks, troubles, chosen(troubles.of_any_model(), only), with_ruler=False)


def main() -> int:
    """Run, print, and return 0 if everybody was answered and nothing is left."""
    parser = argparse.ArgumentParser(prog="just chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="To the service with the ruler. Default: 10000; 0: none.")
    parser.add_argument("--bundled", type=int, default=500, help="To the service with the bundled model. Default: 500; 0: none.")
    parser.add_argument("--only", action="append", default=[], help="A trouble, as `stop`; may be given again. Default: all.")
    given = parser.parse_args()
    passed = True
    for name, n, run in (("the ruler", given.requests, _with_ruler), ("the bundled model", given.bundled, _with_bundled)):
        if n:
            with tempfile.TemporaryDirectory() as folder:
                verdict = run(n, Path(folder), given.only)
            show(name, verdict, console())
            passed = passed and not verdict.faults
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(guarded("chaos", main))
