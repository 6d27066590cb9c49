"""How processes that decode live and end: turns, limits, and nobody left behind."""

import gc
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Final

import msgspec
import numpy as np
import psutil
import pytest

from app.adapters.processes import wire
from app.adapters.processes.confinement import landlock_version
from app.adapters.processes.normalizer import ProcessNormalizer
from app.domain.errors import OverloadedError
from tests.adapters.decoding import (
    MIB,
    PATIENCE_S,
    alone,
    begin,
    decoder_of,
    decoders,
    heard,
    long_recording,
    pool,
    recording,
    wait_until,
)
from tests.adapters.traps import Trap, trapped

_DECODES_AND_WAITS: Final = """
import sys
from io import BytesIO
from app.adapters.processes.normalizer import ProcessNormalizer
from app.adapters.torchaudio.normalizer import TorchaudioNormalizer
from app.testing.contracts_audio import HOUR, sine, wav_bytes
data = wav_bytes(sine(hz=200, rate_hz=16_000, duration_s=60), rate_hz=16_000)
blocks = ProcessNormalizer(TorchaudioNormalizer(), processes=2).blocks(BytesIO(data), limits=HOUR)
print(next(blocks).samples.size, flush=True)
sys.stdin.read()
"""


def test_files_take_turns_at_one_process(shared: ProcessNormalizer) -> None:
    ended: list[str] = []

    def decode(name: str, data: bytes) -> None:
        heard(shared, data)
        ended.append(name)

    long_one = recording(1, duration_s=300)
    with ThreadPoolExecutor(3) as threads:
        long_ones = [threads.submit(decode, "long", long_one) for _ in range(2)]
        wait_until(lambda: shared._pool._processes[0].n_busy)
        threads.submit(decode, "short", recording(2)).result(PATIENCE_S)
        for each in long_ones:
            each.result(PATIENCE_S)
    assert ended == ["short", "long", "long"]


def test_a_file_that_is_given_up_is_forgotten(shared: ProcessNormalizer) -> None:
    decoder = decoder_of(shared)
    n_files = decoder.num_fds()
    opened = [begin(shared, long_recording(seed)) for seed in range(3)]
    for blocks in opened:
        next(blocks)
    assert decoder.num_fds() == n_files + 3
    del opened, blocks
    heard(shared, recording(4))  # it is told before it decodes the next
    assert decoder.num_fds() == n_files


def test_a_file_may_be_collected_while_another_is_given_up(shared: ProcessNormalizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its generator ends wherever Python comes to collect it: here in the midst of what is sent about another."""
    decoder = decoder_of(shared)
    n_files = decoder.num_fds()
    given_up, in_a_cycle = (begin(shared, long_recording(seed)) for seed in range(2))
    next(given_up)
    next(in_a_cycle)
    cycle: list[object] = [in_a_cycle]
    cycle.append(cycle)
    del in_a_cycle, cycle
    packed = wire.packed

    def packed_and_collected(message: msgspec.Struct) -> bytes:
        gc.collect()
        return packed(message)

    monkeypatch.setattr(wire, "packed", packed_and_collected)
    giving_up = Thread(target=given_up.close, daemon=True)  # type: ignore[attr-defined]  # it is a generator
    giving_up.start()
    giving_up.join(PATIENCE_S)
    assert not giving_up.is_alive()
    heard(shared, recording(4))
    assert decoder.num_fds() == n_files


def test_nothing_a_decoder_prints_is_seen(shared: ProcessNormalizer, capfd: pytest.CaptureFixture[str]) -> None:
    data = trapped(recording(1), Trap(does="print"))
    np.testing.assert_array_equal(heard(shared, data), alone(data))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(landlock_version() < 6, reason="the kernel cannot close a process off")
def test_a_decoder_that_was_taken_over_reaches_nothing(shared: ProcessNormalizer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        data = trapped(recording(1), Trap(does="reach out", number=server.getsockname()[1]))
        with pytest.raises(RuntimeError, match="reached nothing"):
            heard(shared, data)


def test_a_process_has_no_secrets_no_privileges_and_narrow_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_API_KEYS", "nobody-may-read-this")
    with pool(memory_mib=64) as (normalizer, _):
        decoder = decoder_of(normalizer)
        assert "nobody-may-read-this" not in "".join(decoder.environ().values())
        assert "NoNewPrivs:\t1\n" in Path(f"/proc/{decoder.pid}/status").read_text()
        assert decoder.rlimit(psutil.RLIMIT_FSIZE) == decoder.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert decoder.rlimit(psutil.RLIMIT_NOFILE)[1] <= 1_100
        assert decoder.rlimit(psutil.RLIMIT_DATA)[1] < (64 + 120) * MIB
        assert decoder.rlimit(psutil.RLIMIT_AS)[1] < (64 + 400) * MIB
        assert decoder.num_threads() == 1
        assert decoder.num_fds() < 10


def test_what_a_supervisor_sends_to_every_process_is_for_the_service(shared: ProcessNormalizer) -> None:
    decoder = decoder_of(shared)
    for number in (signal.SIGTERM, signal.SIGINT):
        decoder.send_signal(number)
    np.testing.assert_array_equal(heard(shared, recording(1)), alone(recording(1)))
    assert decoder_of(shared).pid == decoder.pid


def test_closing_leaves_no_process() -> None:
    with pool(processes=2) as (normalizer, troubles):
        opened = decoders(normalizer)
        assert all(decoder.is_running() for decoder in opened)
    assert not any(decoder.is_running() for decoder in opened)
    assert troubles == []
    with pytest.raises(OverloadedError):
        heard(normalizer, recording(1))


def test_a_service_that_is_killed_leaves_no_process() -> None:
    service = subprocess.Popen(
        [sys.executable, "-c", _DECODES_AND_WAITS], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with service:
        assert service.stdout is not None
        assert int(service.stdout.readline()) > 0
        started = [child for child in psutil.Process(service.pid).children() if child.name() == "stt-decode"]
        assert started
        service.kill()
    gone, alive = psutil.wait_procs(started, PATIENCE_S)
    assert (len(gone), alive) == (len(started), [])
