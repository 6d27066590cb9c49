"""A process that decodes: a tiny server that holds files half decoded, and decodes on where it is asked to."""

import importlib
import os
import socket
import wave
from io import BytesIO
from typing import Final

import msgspec
import numpy as np

from ...domain.errors import AudioRejectedError
from ...domain.ports import AudioNormalizer, DecodeLimits
from .confinement import Meter, confine, die_with_parent
from .job import Job, Step
from .wire import Answer, Drop, Open, Orders, Pull, Ready, Refusal, next_request, packed

_ROOM_OF_OTHERS: Final = 0.25  # of the memory: with so much taken a file that finds too little is to blame itself
_CONNECTION: Final = 0  # the descriptor of the socket: the service passes it as standard input


def main(orders: str) -> None:
    """Serve until the other end of the socket is closed."""
    told = msgspec.json.decode(orders, type=Orders)
    die_with_parent(told.parent_pid)
    normalizer = _loaded(told.normalizer)
    meter = Meter()
    confine(meter, told.memory_bytes)
    connection = socket.socket(fileno=_CONNECTION)
    connection.sendall(packed(Ready()))
    serve(connection, _Files(normalizer, meter, told.memory_bytes))
    os._exit(0)  # at once: there is nothing to tidy up


def serve(connection: socket.socket, files: "_Files") -> None:
    """Do what is asked, one request after another."""
    while not files.spent and (asked := next_request(connection)) is not None:
        request, descriptor = asked
        match request:
            case Open(job, limits, skip_samples) if descriptor is not None:
                files.open(job, descriptor, limits, skip_samples)
            case Pull(job):
                step = files.pull(job)
                connection.sendall(packed(step.answer))
                for samples in step.samples:
                    connection.sendall(samples.data)
            case Drop(job):
                files.drop(job)


class _Files:
    """The files that are being decoded here. They share the memory that the process may take."""

    def __init__(self, normalizer: AudioNormalizer, meter: Meter, memory_bytes: int) -> None:
        self._normalizer, self._meter, self._memory_bytes = normalizer, meter, memory_bytes
        self._jobs: dict[int, Job] = {}
        self._was_full = False

    @property
    def spent(self) -> bool:
        """Whether it is time to end: memory ran out once, its pieces may lie about, and no file is left to be disturbed."""
        return self._was_full and not self._jobs

    def open(self, number: int, descriptor: int, limits: DecodeLimits, skip_samples: int) -> None:
        self._jobs[number] = Job(self._normalizer, descriptor, limits, skip_samples)

    def pull(self, number: int) -> Step:
        """Decode on, and forget the file once it has ended."""
        if (job := self._jobs.get(number)) is None:
            return Step(Answer(lost=True))
        before, _ = self._meter.bytes_of()
        try:
            step = job.step()
        except MemoryError:
            step = None
        job.held_bytes = max(0, job.held_bytes + self._meter.bytes_of()[0] - before)
        if step is None:
            return self._out_of_memory(number)
        if step.answer.ended or step.answer.refusal:
            self.drop(number)
        return step

    def drop(self, number: int) -> None:
        if (job := self._jobs.pop(number, None)) is not None:
            job.close()

    def _out_of_memory(self, number: int) -> Step:
        """Refuse the file if the others leave it room enough; otherwise have it opened again, and make room.

        The largest of the others goes: it is decoded again when its turn comes.
        """
        self._was_full = True
        self.drop(number)
        others_bytes = sum(job.held_bytes for job in self._jobs.values())
        if others_bytes <= self._memory_bytes * _ROOM_OF_OTHERS:
            told = f"decoding the file takes more memory than the limit of {self._memory_bytes // 2**20} MiB"
            return Step(Answer(refusal=Refusal(AudioRejectedError.__name__, told)))
        self.drop(max(self._jobs, key=lambda each: self._jobs[each].held_bytes))
        return Step(Answer(lost=True))


def _loaded(path: str) -> AudioNormalizer:
    """Make the normaliser and have it decode once, which loads whatever decoding needs."""
    module, _, name = path.partition(":")
    normalizer: AudioNormalizer = getattr(importlib.import_module(module), name)()
    file = BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((2, 2, 44_100, 0, "NONE", ""))
        recording.writeframes(np.zeros(2 * 4_410, "<i2").tobytes())
    for _ in normalizer.blocks(file, limits=DecodeLimits(max_duration_s=1)):
        pass
    return normalizer
