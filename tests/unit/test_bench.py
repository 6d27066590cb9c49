"""The benchmark's arithmetic, its client, and what it writes; what it measures is not a test's business."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from rich.console import Console

from bench.chart import draw
from bench.child import BenchError, Child
from bench.clips import mixed_lengths_s, read_wav, speech, write_wav
from bench.files import IN_PROCESS, ONE_BY_ONE, THROUGH_SERVICE, FilesResults, Run, tables
from bench.goals import goals_of
from bench.load import Go, Loaded, LoadJob, Ready, split
from bench.metrics import batches_between, samples
from bench.models import bisect
from bench.names import BARE_LONG, EQUAL, LONG, NEMO, NEMO_LONG, OVERLOAD
from bench.plan import Plan, plan_for
from bench.report import markdown, show
from bench.results import Kind, Measure, Results, Row, Stage, read_results
from bench.statistics import (
    UNANSWERED,
    Answer,
    even_arrivals,
    fingerprint,
    goodput_per_s,
    middle,
    percentile_ms,
    poisson_arrivals,
    ratio,
    summary,
)
from bench.usage import held_mb

PATIENCE_S: Final = 30.0  # no test waits for this long unless it fails
BODY: Final = b'{"text": "Hello.", "usage": {"type": "duration", "seconds": 2.5}}'


def answer(*, due_s: float = 0.0, done_s: float = 1.0, status: int = 200, clip: int = 0, tokens: int | None = None) -> Answer:
    return Answer(clip=clip, due_s=due_s, done_s=done_s, status=status, audio_s=4.0, tokens=tokens, text=fingerprint("Hello."))


def row(name: str, kind: Kind, *rounds: Measure, at: float | None = None) -> Row:
    return Row(name=name, kind=kind, at=at, rounds=list(rounds))


def results(*rows: Row, full_size: bool = True, bf16_cpu: bool = False) -> Results:
    return Results(
        model="a-model", device="cpu", precision="float32", full_size=full_size, bf16_cpu=bf16_cpu,
        environment={"processor": "one of many"}, plan={"arrivals": "poisson"}, rows=list(rows),
        stages=[Stage(name="decode", wall_ms=1.5, core_ms=1.25), Stage(name="voice detection", wall_ms=3.0, always=False)],
    )  # fmt: skip


def test_a_percentile_lies_between_the_two_nearest_values() -> None:
    assert percentile_ms([10.0, 20.0, 30.0, 40.0], 50) == 25.0
    assert percentile_ms([7.0], 99) == 7.0
    assert percentile_ms([], 99) is None


def test_a_summary_keeps_refusals_and_failures_apart_from_good_answers() -> None:
    measure = summary(
        [answer(), answer(done_s=3.0), answer(status=503, done_s=0.02), answer(status=500), answer(status=UNANSWERED)], wall_s=4.0
    )
    assert measure.requests_per_s == 0.5
    assert measure.audio_s_per_s == 2.0
    assert measure.p50_ms == 2000.0
    assert measure.refusal_p99_ms == pytest.approx(20.0)
    assert (measure.requests, measure.refused, measure.errors) == (5, 1, 2)


def test_tokens_are_counted_over_the_audio_of_the_answers_that_tell_them() -> None:
    assert summary([answer(tokens=12), answer(tokens=None)], wall_s=1.0).tokens_per_audio_s == 3.0
    assert summary([answer()], wall_s=1.0).tokens_per_audio_s is None


def test_texts_are_compared_clip_by_clip() -> None:
    texts = [fingerprint("Hello."), fingerprint("Good-bye.")]
    assert summary([answer(clip=0), answer(clip=1)], wall_s=1.0, texts=texts).same_text == 0.5


def test_goodput_counts_good_answers_while_arrivals_last() -> None:
    answers = [answer(done_s=1.0), answer(done_s=5.0), answer(done_s=9.9), answer(done_s=10.0), answer(done_s=6.0, status=503)]
    assert goodput_per_s(answers, from_s=2.0, until_s=10.0) == 0.25


def test_even_arrivals_keep_their_distance() -> None:
    assert even_arrivals(4.0, 1.0) == [0.0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_keep_the_rate_but_not_the_distance() -> None:
    times = poisson_arrivals(50.0, 200.0, seed=3)
    gaps = np.diff(times)
    assert len(times) == 10_000
    assert times[0] == 0.0
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(0.02, rel=0.001)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # of an exponential distribution both are the same
    assert times == poisson_arrivals(50.0, 200.0, seed=3)


def test_the_middle_of_rounds_is_taken_field_by_field_and_failures_add_up() -> None:
    found = middle([Measure(p50_ms=3.0, errors=1), Measure(p50_ms=1.0, memory_mb=5.0), Measure(p50_ms=2.0, errors=2)])
    assert (found.p50_ms, found.memory_mb, found.errors, found.p99_ms) == (2.0, 5.0, 3, None)


def test_ratios_are_taken_within_rounds() -> None:
    fast = row("c", "closed", Measure(audio_s_per_s=9.0), Measure(audio_s_per_s=90.0), Measure(audio_s_per_s=45.0))
    base = row("b", "nemo", Measure(audio_s_per_s=10.0), Measure(audio_s_per_s=100.0), Measure(audio_s_per_s=100.0))
    assert ratio(fast, base, "audio_s_per_s") == 0.9
    assert ratio(fast, row("once", "nemo", Measure(audio_s_per_s=15.0)), "audio_s_per_s") == 3.0
    assert ratio(fast, base, "p50_ms") is None


def test_the_token_rate_is_found_by_halving() -> None:
    assert bisect(lambda bias: 12.5 - bias, 3.3, 0.0, 12.0) == pytest.approx(9.2, abs=0.001)


def test_clips_have_the_wanted_lengths_and_survive_their_file(tmp_path: Path) -> None:
    spoken = [np.full(n, n, np.int16) for n in (3_000, 5_000)]
    joined = speech(spoken, 0.75, start=1)
    assert joined.tolist() == [5_000] * 5_000 + [3_000] * 3_000 + [5_000] * 4_000
    file = write_wav(tmp_path / "a.wav", joined)
    assert file.duration_s == 0.75
    assert (read_wav(file.path) * 2**15).tolist() == joined.tolist()


def test_mixed_lengths_fill_their_range_whatever_their_number() -> None:
    for n_clips in (8, 100):
        lengths_s = mixed_lengths_s(n_clips, 2.0, 10.0)
        assert len(lengths_s) == n_clips
        assert min(lengths_s) >= 2.0
        assert max(lengths_s) <= 10.0
        assert np.mean(lengths_s) == pytest.approx(6.0, abs=0.5)


def test_a_quick_plan_is_shorter_and_what_is_given_stands() -> None:
    full, quick = (plan_for(small=True, device="cpu", quick=quick) for quick in (False, True))
    assert quick.rounds < full.rounds
    assert plan_for(small=True, device="cpu", quick=True, rounds=9, clients=None) == plan_for(
        small=True, device="cpu", quick=True, rounds=9
    )
    assert plan_for(small=False, device="cpu", quick=False) == Plan()
    assert plan_for(small=False, device="cuda:0", quick=False).clients > 1


@pytest.mark.parametrize("arrivals_s", [None, [0.0, 0.1, 0.2, 0.3, 0.4]])
def test_clients_share_a_job_without_losing_or_repeating_a_request(arrivals_s: list[float] | None) -> None:
    job = LoadJob(files=[], order=[3, 1, 4, 1, 5], concurrency=5, arrivals_s=arrivals_s)
    shares = list(split(job, 2))
    assert sorted(clip for share in shares for clip in share.order) == [1, 1, 3, 4, 5]
    assert sum(share.concurrency for share in shares) == 5
    if arrivals_s:
        pairs = [pair for share in shares for pair in zip(share.arrivals_s or [], share.order, strict=True)]
        assert sorted(pairs) == list(zip(arrivals_s, job.order, strict=True))


def test_no_client_is_left_without_a_request_to_keep_open() -> None:
    assert [share.concurrency for share in split(LoadJob(files=[], order=[0], concurrency=1), 4)] == [1]


def test_batches_are_what_the_counters_grew_by() -> None:
    before = {"stt_batch_items_sum": 10.0, "stt_batch_items_count": 10.0, "stt_batch_padded_seconds_total": 50.0}
    after = {"stt_batch_items_sum": 40.0, "stt_batch_items_count": 20.0, "stt_batch_padded_seconds_total": 50.0}
    assert batches_between(before, after) == {"batch_clips": 3.0}
    assert batches_between({}, {}) == {}


def test_device_memory_is_added_up_for_a_service_alone() -> None:
    listed = "101, 1000\n102, 500\n103, [N/A]\n999, 7000\n"
    assert held_mb(listed, {101, 102, 103}) == pytest.approx(1572.864)
    assert held_mb(listed, {5}) is None


def test_goals_compare_what_they_name() -> None:
    found = results(
        row(NEMO, "nemo", Measure(audio_s_per_s=10.0)),
        row("1 concurrent", "closed", Measure(audio_s_per_s=8.0), at=1),
        row("64 concurrent", "closed", Measure(audio_s_per_s=9.0), at=64),
        row(LONG, "single", Measure(p50_ms=210.0)),
        row(BARE_LONG, "bare", Measure(p50_ms=200.0)),
        row(NEMO_LONG, "nemo", Measure(p50_ms=400.0)),
        row(EQUAL, "equal", Measure(requests_per_s=10.0)),
        row("80% load, poisson arrivals", "open", Measure(p50_ms=10.0, p99_ms=25.0), at=0.8),
        row(OVERLOAD, "overload", Measure(requests_per_s=9.75, refusal_p99_ms=60.0), at=2.0),
    )
    goals = {goal.name: (goal.value, goal.met) for goal in goals_of(found)}
    assert goals["served throughput at saturation / NeMo transcribe"] == (0.9, False)
    assert goals["one request / bare call, long clip"] == (1.05, True)
    assert goals["one request / bare call, short clip"] == (None, None)
    assert goals["bare call / NeMo float32 transcribe, long clip"] == (0.5, True)
    assert goals["goodput at 2x overload / best rate"] == (0.975, True)
    assert goals["p99 of refusals in overload"] == (60.0, False)
    assert goals["p99 / p50 at 80% load, poisson arrivals"] == (2.5, True)


def test_a_processor_with_bfloat16_has_the_harder_goal() -> None:
    rows = (row(BARE_LONG, "bare", Measure(p50_ms=50.0)), row(NEMO_LONG, "nemo", Measure(p50_ms=100.0)))
    bounds = {
        bf16_cpu: next(goal.bound for goal in goals_of(results(*rows, bf16_cpu=bf16_cpu)) if "float32" in goal.name)
        for bf16_cpu in (False, True)
    }
    assert bounds == {False: 0.7, True: 0.4}


def test_a_report_from_json_says_what_was_measured(tmp_path: Path) -> None:
    found = results(
        row(NEMO, "nemo", Measure(audio_s_per_s=10.0, requests=64)),
        row("64 concurrent", "closed", Measure(audio_s_per_s=9.5, p99_ms=1234.5, batch_fill=0.875, requests=64, errors=3), at=64),
    )
    found.write(tmp_path / "results.json")
    text = markdown(read_results(tmp_path / "results.json"))
    assert "| 64 concurrent | 9.50 | 1234 | 87.5% | 64 | 0 | 3 | 0.95x speed of NeMo transcribe, all clips sorted |" in text
    assert "| served throughput at saturation / NeMo transcribe | 0.95 | >= 0.95 | yes |" in text
    assert "| voice detection (not in every request) | 3.00 |  |" in text
    assert "device MB" not in text  # a column nothing is known of


def test_a_picture_is_drawn_of_whatever_rows_there_are(tmp_path: Path) -> None:
    open_row = row("80% load, poisson arrivals", "open", Measure(p50_ms=10.0, p95_ms=20.0), at=0.8)
    for i, found in enumerate([results(open_row, row("4 concurrent", "closed", Measure(audio_s_per_s=9.0), at=4)), results()]):
        draw(found, tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").read_bytes().startswith(b"\x89PNG")


def test_the_service_s_metrics_are_read_and_summed_over_labels() -> None:
    text = '# TYPE stt_batches_total counter\nstt_batches_total{kind="live"} 2\nstt_batches_total{kind="file"} 3\n'
    assert samples(text) == {"stt_batches_total": 5.0}


@pytest.mark.parametrize("full_size", [True, False])
def test_goals_are_shown_for_the_full_size_alone(*, full_size: bool) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    show(results(row(NEMO, "nemo", Measure(audio_s_per_s=10.0)), full_size=full_size), console)
    shown = console.export_text()
    assert "10.0" in shown
    assert (">= 0.95" in shown) == full_size


class Counter(BaseHTTPRequestHandler):
    """Answers a post once `wanted` were under way at a time, or the test is over."""

    protocol_version = "HTTP/1.1"
    changed: threading.Condition
    wanted: int
    statuses: Iterator[int]
    open_now = 0
    most_open = 0

    def do_POST(self) -> None:
        cls = type(self)
        form = self.rfile.read(int(self.headers["content-length"]))
        with cls.changed:
            cls.open_now += 1
            cls.most_open = max(cls.most_open, cls.open_now)
            cls.changed.notify_all()
            cls.changed.wait_for(lambda: cls.most_open >= cls.wanted, PATIENCE_S)
            status = next(cls.statuses, 200)
            cls.open_now -= 1
        self.send_response(status if b"RIFF" in form and b'name="include[]"' in form else 400)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def counting_server(*statuses: int, wanted: int) -> Iterator[tuple[str, type[Counter]]]:
    class Own(Counter):
        changed = threading.Condition()

    Own.statuses, Own.wanted = iter(statuses), wanted
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever, 0.01)
        try:
            yield f"http://127.0.0.1:{server.server_port}", Own
        finally:
            with Own.changed:
                Own.wanted = 0
                Own.changed.notify_all()
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child("bench.load", log_path=tmp_path_factory.mktemp("client") / "log") as started:
        started.result(Ready)
        yield started


def load_job(url: str, folder: Path, **more: object) -> LoadJob:
    file = write_wav(folder / "a.wav", np.ones(160, np.int16))
    return LoadJob(url=url, files=[file], order=[0] * 8, fields={"include[]": "logprobs"}, **more)  # type: ignore[arg-type]


def send(client: Child, job: LoadJob) -> list[Answer]:
    client.ask(job, Ready)
    return client.ask(Go(start_s=time.monotonic()), Loaded).answers


def test_the_closed_loop_keeps_its_number_of_requests_open(client: Child, tmp_path: Path) -> None:
    with counting_server(503, wanted=3) as (url, server):
        answers = send(client, load_job(url, tmp_path, concurrency=3))
    assert server.most_open == 3
    assert sorted(found.status for found in answers) == [200] * 7 + [503]
    good = [found for found in answers if found.status == 200]
    assert all(found.audio_s == 2.5 and found.text == fingerprint("Hello.") for found in good)


def test_in_open_loop_requests_are_due_when_scheduled_and_wait_for_no_answer(client: Child, tmp_path: Path) -> None:
    arrivals_s = even_arrivals(100.0, 0.08)
    with counting_server(wanted=8) as (url, server):  # it answers nobody before all are there
        answers = send(client, load_job(url, tmp_path, arrivals_s=arrivals_s))
    due_s = sorted(found.due_s for found in answers)
    assert [round(due - due_s[0], 6) for due in due_s] == arrivals_s
    assert server.most_open == 8
    assert min(found.latency_ms for found in answers if found.due_s == due_s[0]) >= 70.0  # the first waited for the last


def test_a_request_without_an_answer_in_time_is_given_up(client: Child, tmp_path: Path) -> None:
    with counting_server(wanted=9) as (url, _):
        answers = send(client, load_job(url, tmp_path, concurrency=8, timeout_s=0.2))
    assert [found.status for found in answers] == [UNANSWERED] * 8


def test_a_child_that_ends_shows_its_last_words(tmp_path: Path) -> None:
    with Child("bench.no_such_module", log_path=tmp_path / "log") as child, pytest.raises(BenchError, match="no_such_module"):
        child.result(Ready)


def test_ways_through_many_files_are_set_against_posting_them_one_by_one() -> None:
    measured = {ONE_BY_ONE: (10.0, 30.0, 10.0), THROUGH_SERVICE: (5.0,), IN_PROCESS: (4.0,)}
    start_s = {ONE_BY_ONE: 0.0, THROUGH_SERVICE: 0.5, IN_PROCESS: 9.0}
    runs = [Run(way=way, audio_s=100.0, elapsed_s=s, start_s=start_s[way]) for way, found in measured.items() for s in found]
    rates, facts = tables(FilesResults(environment={"cores": "2"}, model="bundled", n_files=20, runs=runs))
    assert [row[:4] for row in rates.rows] == [
        [ONE_BY_ONE, "10.0", "1.00", "2.0"],
        [THROUGH_SERVICE, "20.0", "2.00", "4.0"],
        [IN_PROCESS, "25.0", "2.50", "5.0"],
    ]
    assert rates.rows[2][5] == "9.0"
    assert facts.rows == [["cores", "2"]]
