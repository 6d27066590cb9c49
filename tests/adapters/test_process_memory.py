"""What decoding may take of memory, and who goes without where there is none."""

import time
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Final

import numpy as np
import psutil
import pytest

from app.adapters.processes.normalizer import ProcessNormalizer
from app.domain.audio import MODEL_RATE_HZ
from app.domain.errors import AudioRejectedError, OverloadedError
from app.domain.ports import DecodeLimits
from app.testing.contracts_audio import HOUR, joined, wav_bytes
from tests.adapters import bombs
from tests.adapters.decoding import (
    MIB,
    alone,
    begin,
    decoder_of,
    forget_peak,
    heard,
    long_recording,
    peak_bytes,
    pool,
    recording,
    wait_until,
)
from tests.adapters.traps import Trap, trapped

_HOUR_BYTES: Final = 2 * MODEL_RATE_HZ * 3_599


def test_a_file_that_eats_memory_is_refused_within_the_budget_and_what_rests_beside_it_is_not_disturbed() -> None:
    with pool(memory_mib=64) as (normalizer, troubles):
        decoder = decoder_of(normalizer)
        base = peak_bytes(decoder)
        resting = begin(normalizer, long_recording(1))
        first = next(resting)
        for seed in range(3):
            with pytest.raises(AudioRejectedError, match="decoding the file takes more memory than the limit of 64 MiB"):
                heard(normalizer, trapped(recording(seed), Trap(does="eat", after_s=2)))
        assert 30 * MIB < peak_bytes(decoder) - base < 64 * MIB
        np.testing.assert_array_equal(joined([first, *resting]), alone(long_recording(1)))
        wait_until(lambda: troubles)
        assert [facts["status"] for _, facts in troubles] == [0], "once it holds no file it makes way for one that is as new"


def test_a_file_that_rests_on_most_of_the_memory_starves_nobody() -> None:
    greedy = trapped(long_recording(1), Trap(does="hold", after_s=2, number=40 * MIB))
    modest = trapped(long_recording(2), Trap(does="hold", after_s=2, number=30 * MIB))
    with pool(memory_mib=64) as (normalizer, _):
        resting = begin(normalizer, greedy)
        first = next(resting)
        np.testing.assert_array_equal(heard(normalizer, modest), alone(modest))
        np.testing.assert_array_equal(joined([first, *resting]), alone(greedy))


def test_a_file_for_which_too_many_would_have_to_make_room_is_to_come_again() -> None:
    small = [trapped(long_recording(seed), Trap(does="hold", after_s=2, number=4 * MIB)) for seed in range(12)]
    with pool(memory_mib=64) as (normalizer, _):
        steps = [begin(normalizer, data) for data in small]
        begun = [next(blocks) for blocks in steps]
        with pytest.raises(OverloadedError, match="there is no room to decode the file"):
            heard(normalizer, trapped(recording(20), Trap(does="hold", after_s=2, number=45 * MIB)))
        for data, first, rest in zip(small, begun, steps, strict=True):
            np.testing.assert_array_equal(joined([first, *rest]), alone(data))


def test_a_reader_who_takes_his_time_holds_neither_memory_nor_the_decoder(shared: ProcessNormalizer) -> None:
    with TemporaryFile() as file:
        file.write(wav_bytes(np.zeros(0, np.float32), rate_hz=MODEL_RATE_HZ)[:40] + b"\xff\xff\xff\xff")
        file.truncate(_HOUR_BYTES)
        decoder = decoder_of(shared)
        memory_bytes = decoder.memory_info().rss
        blocks = shared.blocks(file, limits=HOUR)
        n_heard = next(iter(blocks)).samples.size
        started_s = time.monotonic()
        np.testing.assert_array_equal(heard(shared, recording(1)), alone(recording(1)))
        assert time.monotonic() - started_s < 20
        assert decoder.memory_info().rss - memory_bytes < 20 * MIB
        assert n_heard + sum(block.samples.size for block in blocks) > 3_590 * MODEL_RATE_HZ


@pytest.mark.parametrize(
    ("bomb", "told"),
    [
        (lambda: bombs.opus(hours=9), "the audio lasts longer than the limit of 30 s"),
        (lambda: bombs.flac(rate_hz=192_000, channels=8, duration_s=600), "the audio lasts longer than the limit of 30 s"),
        (lambda: bombs.opus_with_comments(n_bytes=150_000_000), "decoding the file takes more memory than the limit of 64 MiB"),
        (lambda: bombs.mov_compressed(n_bytes=300_000_000), "decoding the file takes more memory than the limit of 64 MiB"),
        (lambda: bombs.matroska_claiming(n_bytes=250_000_000), "nothing in the file can be decoded"),
    ],
    ids=["Opus of 9 hours", "FLAC of constant blocks", "endless comments", "compressed index", "claimed private data"],
)
def test_a_bomb_is_refused_within_the_budget(bomb: Callable[[], bytes], told: str) -> None:
    with pool() as (normalizer, _), TemporaryFile() as file:
        decoder, service = decoder_of(normalizer), psutil.Process()
        resting = begin(normalizer, long_recording(1))  # keeps the process from making way before it was looked at
        next(resting)
        file.write(bomb())
        bases = [forget_peak(process) for process in (decoder, service)]
        with pytest.raises(AudioRejectedError) as refused:
            list(normalizer.blocks(file, limits=DecodeLimits(max_duration_s=30)))
        grown = [peak_bytes(process) - base for process, base in zip((decoder, service), bases, strict=True)]
        assert str(refused.value) == told
        assert grown[0] < 64 * MIB
        assert grown[1] < 10 * MIB
        assert decoder.is_running()
