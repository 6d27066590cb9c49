"""What is done to a service under load: each trouble once, and how long it is until the service is ready again."""

import asyncio
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec
import psutil

from .troubled_ruler import DEAD_THREAD, LOST_DEVICE, float_wav, said
from .victim import Victim

_FULL_S: Final = 0.5  # how long the disk is full
_FULL_BYTES: Final = 1_000  # no file grows beyond
_CRASH_LOOP_S: Final = 5.5  # Granian ends a service whose worker ends again so soon after it was started anew
_SLOW_S: Final = 10.0  # for an end with everything under way being short


Trouble = Callable[[], Awaitable["Done"]]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A trouble that was made. Times on the machine's monotonic clock."""

    name: str
    at_s: float
    ready_s: float  # until the service was ready again
    replaces: bool = False  # the worker was replaced
    cuts: bool = False  # connections that were open died with their process
    gone_s: float = 0.0  # by when it had ended, and its listening socket with it
    ends: bool = False  # the worker ended in order: nothing under way may break, but what came at the very end was not heard
    note: str = ""


class Troubles:
    """Makes trouble, one kind after another."""

    def __init__(self, victim: Victim, *, seed: int) -> None:
        self._victim, self._chance = victim, random.Random(seed)

    async def lose_device(self) -> Done:
        return await self._by_clip("lost device", LOST_DEVICE)

    async def kill_model_thread(self) -> Done:
        return await self._by_clip("dead model thread", DEAD_THREAD)

    async def kill_decoder(self) -> Done:
        """Kill one of the processes that decode, if there are any."""
        decoders = self._victim.decoders()
        at_s = time.monotonic()
        if decoders:
            with suppress(psutil.NoSuchProcess):
                self._chance.choice(decoders).kill()
        return await self._ready("killed decoder", at_s, note="" if decoders else "there was none")

    async def kill_worker(self) -> Done:
        worker = self._victim.worker()
        at_s = time.monotonic()
        if worker:
            worker.kill()
            await _ended(worker)
        return await self._ready("killed worker", at_s, other_than=worker, replaces=True, cuts=True)

    async def stop(self) -> Done:
        """Send SIGTERM, and start another service when it has ended, as an orchestrator would."""
        at_s = time.monotonic()
        status = await self.end()
        took_s = time.monotonic() - at_s
        self._victim.start()
        return await self._ready("SIGTERM", at_s, ends=True, note=f"status {status}" + (", slowly" if took_s > _SLOW_S else ""))

    async def end(self) -> int:
        """Send SIGTERM and return the status."""
        self._victim.main.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._victim.wait_until_ended)

    async def kill_main(self) -> Done:
        """Kill the main process; its worker finishes by itself."""
        worker, at_s = self._victim.worker(), time.monotonic()
        self._victim.main.kill()
        await asyncio.to_thread(self._victim.wait_until_ended)
        if worker:
            await _ended(worker)  # until then the port is taken
        self._victim.start()
        return await self._ready("killed main process", at_s, ends=True)

    async def fill_disk(self) -> Done:
        """Let no file of the worker's grow: as good as a full disk, and needs no privileges."""
        worker, at_s = self._victim.worker(), time.monotonic()
        if worker:
            soft, hard = worker.rlimit(resource.RLIMIT_FSIZE)
            worker.rlimit(resource.RLIMIT_FSIZE, (_FULL_BYTES, hard))
            await asyncio.sleep(_FULL_S)
            with suppress(psutil.NoSuchProcess):
                worker.rlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return await self._ready("full disk", at_s)

    async def _by_clip(self, name: str, number: int) -> Done:
        worker, at_s = self._victim.worker(), time.monotonic()
        with suppress(httpx.TransportError):  # others may have ended it in the same moment
            async with httpx.AsyncClient(timeout=60) as client:
                await client.post(f"{self._victim.url}/v1/audio/transcriptions", files={"file": float_wav(said(number))})
        if worker:
            await _ended(worker)
        return await self._ready(name, at_s, other_than=worker, replaces=True, ends=True)

    async def _ready(
        self,
        name: str,
        at_s: float,
        *,
        other_than: psutil.Process | None = None,
        replaces: bool = False,
        cuts: bool = False,
        ends: bool = False,
        note: str = "",
    ) -> Done:
        gone_s = time.monotonic()
        await asyncio.to_thread(self._victim.wait_until_ready, other_than=other_than)
        ready_s = time.monotonic() - at_s
        if replaces:
            await asyncio.sleep(_CRASH_LOOP_S)
        return Done(name=name, at_s=at_s, gone_s=gone_s, ready_s=ready_s, replaces=replaces, cuts=cuts, ends=ends, note=note)

    def of_any_model(self) -> dict[str, Trouble]:
        """Return the troubles that need nothing of the model, by name."""
        return {
            "decoder": self.kill_decoder, "worker": self.kill_worker, "stop": self.stop, "main": self.kill_main,
            "disk": self.fill_disk,
        }  # fmt: skip

    def all(self) -> dict[str, Trouble]:
        """Return all of them."""
        return {**self.of_any_model(), "device": self.lose_device, "thread": self.kill_model_thread}


async def _ended(process: psutil.Process) -> None:
    """Wait until it has closed what it had open; its first thread may be over long before the last."""
    while not _is_over(process):  # noqa: ASYNC110  # no child of ours
        await asyncio.sleep(0.01)


def _is_over(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, FileNotFoundError):
        threads = Path(f"/proc/{process.pid}/task")
        return not process.is_running() or (process.status() == psutil.STATUS_ZOMBIE and len(list(threads.iterdir())) == 1)
    return True
