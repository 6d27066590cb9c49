"""An `AudioNormalizer` whose files are decoded by another one in processes of limited memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader, FileIO
from shutil import copyfileobj
from typing import BinaryIO, Final

from ...domain import errors
from ...domain.audio import MODEL_RATE_HZ, Samples
from ...domain.errors import AudioRejectedError, AudioTooLongError, OverloadedError
from ...domain.ports import AudioNormalizer, Block, DecodeLimits, Resampler
from .pool import Place, Pool
from .process import CrashedError, DecodeProcess, GoneError, KilledError, StalledError
from .wire import Answer, Refusal

_MOST_CRASHES: Final = 2  # with the second the file is to blame: the first may have come of what another file left behind
_MOST_LOSSES: Final = 5  # of its place, on end: to make room for others, or with a process that was killed
_CROWDED_RETRY_S: Final = 5
_REFUSALS: Final = (AudioRejectedError, errors.AudioTooShortError, AudioTooLongError)


class ProcessNormalizer:
    """Decodes in a small pool of processes, so that what a file does to its decoder, it does to nobody else.

    A file holds no process while nobody asks for its next block. If a process ends, the files that rest in it are decoded
    again in another, up to where they were; one that crashes two processes is rejected. Live sound is resampled here.
    Linux only.
    """

    def __init__(
        self,
        inner: AudioNormalizer,
        *,
        processes: int = 1,
        memory_bytes: int = 256 * 2**20,
        stall_s: float = 20.0,
        on_trouble: Callable[..., None] = lambda _event, **_facts: None,
    ) -> None:
        """Begin to start the processes, and return at once.

        Args:
            inner: Resamples live sound; each process makes another of its class, without arguments.
            processes: How many, but never more than there are cores.
            memory_bytes: How much decoding may take in one process, beyond what the process itself takes.
            stall_s: How long, in seconds, a process may say nothing, and a file waits where none is ready.
            on_trouble: Told of each process that ends unasked: the event's name, and facts by name.
        """
        self._inner, self._memory_bytes, self._stall_s = inner, memory_bytes, stall_s
        n_cores = len(os.sched_getaffinity(0))
        self._pool = Pool(self._start, size=min(processes, n_cores), patience_s=stall_s, on_trouble=on_trouble)

    def blocks(self, file: BinaryIO, *, limits: DecodeLimits) -> Iterator[Block]:
        with _descriptor_of(file) as descriptor:
            decoding = _Decoding(self._pool, descriptor, limits)
            try:
                yield from decoding.blocks()
            finally:
                decoding.close()

    def open_resampler(self, *, source_rate_hz: int) -> Resampler:
        return self._inner.open_resampler(source_rate_hz=source_rate_hz)

    @property
    def can_decode(self) -> bool:
        """Whether a process is ready, or one may become so: false where several did not start and none is left."""
        return not self._pool.given_up

    def wait_until_ready(self) -> None:
        """Wait for a process to be ready, as long as one may become so: on a machine at its limit that can be a minute.

        Raises:
            OverloadedError: Several did not start; what kept them was told.
        """
        self._pool.wait_for_first()

    def close(self) -> None:
        """End all processes. Files that are being decoded fail."""
        self._pool.close()

    def _start(self) -> DecodeProcess:
        kind = type(self._inner)
        return DecodeProcess(f"{kind.__module__}:{kind.__qualname__}", memory_bytes=self._memory_bytes, stall_s=self._stall_s)


class _Decoding:
    """One file, wherever it is decoded just now."""

    def __init__(self, pool: Pool, descriptor: int, limits: DecodeLimits) -> None:
        self._pool, self._descriptor, self._limits = pool, descriptor, limits
        self._place: Place | None = None
        self._n_given = 0
        self._n_crashes = 0
        self._n_losses = 0

    def blocks(self) -> Iterator[Block]:
        while True:
            answer, samples = self._pulled()
            if samples.size:
                self._n_given += samples.size
                self._n_losses = 0
            if self._n_given > (self._limits.max_duration_s + 1) * MODEL_RATE_HZ:  # 1: no decoder of ours lets it come to this
                raise AudioTooLongError(limit_s=self._limits.max_duration_s)
            if samples.size or answer.truncated:
                yield Block(samples, truncated=answer.truncated)
            if answer.refusal:
                raise _failure(answer.refusal)
            if answer.ended:
                return

    def close(self) -> None:
        if self._place is not None:
            self._pool.release(self._place)
            self._place = None

    def _pulled(self) -> tuple[Answer, Samples]:
        """Return the next answer that tells something; begin anew elsewhere as often as it takes."""
        while True:
            if self._place is None:
                self._place = self._pool.place(self._descriptor, self._limits, skip_samples=self._n_given)
            try:
                answer, samples = self._place.pull()
            except StalledError as stalled:
                raise AudioRejectedError("decoding the file came to no end") from stalled
            except CrashedError as crashed:
                self._n_crashes += 1
                if self._n_crashes == _MOST_CRASHES:
                    raise AudioRejectedError("the file makes its decoder fail") from crashed
            except KilledError:
                self._count_loss()
            except GoneError:
                pass
            else:
                if not answer.lost:
                    return answer, samples
                self._count_loss()
            self.close()

    def _count_loss(self) -> None:
        self._n_losses += 1
        if self._n_losses == _MOST_LOSSES:
            raise OverloadedError("there is no room to decode the file; try again later", retry_after_s=_CROWDED_RETRY_S)


def _failure(refusal: Refusal) -> Exception:
    """Return the error that ended a file, of its own class where that is one of ours."""
    for kind in _REFUSALS:
        if kind.__name__ == refusal.kind:
            return kind.__new__(kind, refusal.text)  # not its constructor, which makes a text of its own
    if refusal.kind == OSError.__name__:
        return OSError(refusal.text)
    return RuntimeError(f"decoding failed: {refusal.kind}: {refusal.text}")


@contextmanager
def _descriptor_of(file: BinaryIO) -> Iterator[int]:
    """Lend a descriptor of the file's content that can only read, and has a position of its own."""
    if isinstance(file, BufferedReader | BufferedRandom) and isinstance(file.raw, FileIO):
        file.flush()
        opened = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    else:
        opened = _copied(file)
    try:
        yield opened
    finally:
        os.close(opened)


def _copied(file: BinaryIO) -> int:
    """Copy what has no descriptor into memory that has one."""
    with os.fdopen(os.memfd_create("audio", os.MFD_CLOEXEC), "wb") as copy:
        file.seek(0)
        copyfileobj(file, copy)
        copy.flush()
        return os.open(f"/proc/self/fd/{copy.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
