"""What runs on the other machines: one recogniser in a process of its own, which Ray Serve starts, watches and replaces."""

import asyncio
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import version
from time import monotonic
from typing import Any, Final

from ...domain.audio import Clip, Samples
from ...domain.errors import DeviceFailedError
from ...domain.ports import Recognizer
from . import board
from .scaling import METRIC
from .wire import Failed, Heard, Introduction, Lost, OtherVersion, Outcome, encoded, request_of

PACKAGE_VERSION: Final = version("parakeet-stt")
_LAST_WORDS_S: Final = 0.1  # for an answer to leave a process that ends: less than a batch waits before it is tried elsewhere


class Replica:
    """Holds one recogniser and lets one batch at a time into it. Its methods are Ray Serve's to call."""

    def __init__(self, factory: str, environment: Mapping[str, str], *, stuck_s: float, package: str = PACKAGE_VERSION) -> None:
        """Load.

        Args:
            factory: `module:function`, which makes a recogniser of `environment`.
            environment: Settings as variables.
            stuck_s: A batch that runs for longer, in seconds, makes the replica unhealthy.
            package: What was installed where this was deployed.

        Raises:
            RuntimeError: Another version is installed here.
        """
        if package != PACKAGE_VERSION:
            raise RuntimeError(f"parakeet-stt {package} was deployed, and this machine has {PACKAGE_VERSION}")
        module, _, name = factory.partition(":")
        make: Callable[[Mapping[str, str]], Recognizer] = getattr(import_module(module), name)
        self._stuck_s = stuck_s
        self._model = ThreadPoolExecutor(1, thread_name_prefix="recognizer")
        self._recognizer = self._model.submit(make, environment).result()
        facts = self._recognizer.facts
        self._introduction = Introduction(package=package, facts=facts, configuration=dict(self._recognizer.configuration()))
        self._name = _own_name()
        self._since_s: float | None = None  # when the batch under way began

    async def introduction(self) -> bytes:
        """Tell what is served here."""
        return encoded(self._introduction)

    async def recognize(self, samples: Sequence[Any], asked: bytes) -> bytes:
        """Recognise a batch.

        Args:
            samples: One reference, to a list of float32 arrays of 16 kHz. Being inside a list it is fetched only here: not
                by a replica that is busy and sends the batch elsewhere.
            asked: A `Request`.

        Returns:
            An `Outcome`; after `Lost` the process ends. What is raised beyond it is no failure of the model's, and the batch may be
            tried elsewhere.
        """
        request = request_of(asked)
        if (own := self._introduction.version) != request.version:
            return encoded(OtherVersion(replica=self._name, version=own))
        clips = [Clip(array) for array in await _fetched(samples[0])]
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._model, self._heard, clips, request.options)
        if isinstance(outcome, Lost):  # at once: until Ray Serve had looked here, further batches would come and be lost
            loop.call_later(_LAST_WORDS_S, os._exit, 1)
        return encoded(outcome)

    async def check_health(self) -> None:
        """Raise where a batch does not come back; Ray Serve then starts another process."""
        since_s = self._since_s
        if since_s is not None and monotonic() - since_s > self._stuck_s:
            raise RuntimeError(f"a batch has been running for {self._stuck_s:g} s")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Ray Serve, for `ByQueuedAudio`, what waits in all services."""
        found = board.found()
        return {METRIC: float(await found.total_s.remote())} if found else {}

    def _heard(self, clips: list[Clip], options: Sequence[Any]) -> Outcome:
        began_s = self._since_s = monotonic()
        try:
            transcripts = tuple(self._recognizer.recognize(clips, options))
        except DeviceFailedError as failure:
            return Lost(replica=self._name, told=str(failure))
        except Exception:  # a value, not an exception: it must not be taken for a fault of the way here
            return Failed(replica=self._name, told=traceback.format_exc())
        except BaseException as end:  # as asyncio lets it end its loop, and the process would stay and answer nobody
            return Lost(replica=self._name, told=f"the model's thread was ended: {end!r}")
        finally:
            self._since_s = None
        return Heard(replica=self._name, transcripts=transcripts, run_s=monotonic() - began_s)


async def _fetched(reference: Any) -> list[Samples]:
    """Return the arrays, which are views of Ray's object store and cannot be written to."""
    arrays: list[Samples] = await reference
    return arrays


def _own_name() -> str:
    from ray import serve

    return str(serve.get_replica_context().replica_id.unique_id)
