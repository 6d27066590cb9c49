"""The arithmetic of live sessions, their client, and what is written; what it measures is not a test's business."""

import asyncio
import itertools
import json
import math
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from app.domain.audio import MODEL_RATE_HZ
from app.domain.live import LiveSession
from app.domain.live_events import Request
from app.domain.live_rules import LiveRules, Sound
from app.domain.transcript import Transcript, Word
from app.testing.fakes import FakeNormalizer, FakeVoiceDetector
from app.testing.ruler import RulerRecognizer, RulerWord, encode_words
from bench.child import Child
from bench.clips import write_wav
from bench.live_client import Heard, LiveJob, Log, Message, SaidWord, Spoke
from bench.live_delays import Delays, delays_of, n_changed
from bench.live_drive import finals_of
from bench.live_long import LongResults, Said, tables_of
from bench.live_report import draw_live, live_tables
from bench.live_results import LiveMeasure, LiveResults, live_goals_of, read_live_results, sessions_held
from bench.live_ruler import first_difference, pieces_of, ruler_result, words_for
from bench.live_speech import Spoken, composed, write_script
from bench.metrics import Histogram, histogram
from bench.report import as_markdown
from bench.sentences import Sentence
from tests.recordings import Recording

SPOKEN: Final = [
    Spoken(text="Hello there.", start_s=1.0, end_s=2.0),
    Spoken(text="Good night, good night.", start_s=4.0, end_s=6.0),
]


def partial(at_s: float, utterance: int, stable: str, tentative: str) -> Heard:
    message = Message(text=stable + tentative, utterance=utterance, final=False, stable=stable, tentative=tentative)
    return Heard(at_s=at_s, message=message)


def final(at_s: float, utterance: int, start_s: float, end_s: float, *words: tuple[str, float, float]) -> Heard:
    text = " ".join(word for word, _, _ in words)
    said = [SaidWord(word=word, start=start, end=end) for word, start, end in words]
    return Heard(at_s=at_s, message=Message(text=text, utterance=utterance, final=True, start=start_s, end=end_s, words=said))


def status(at_s: float, told: str) -> Heard:
    return Heard(at_s=at_s, message=Message(status=told))


def log(*heard: Heard, closed: int = 1000, failure: str = "") -> Log:
    return Log(heard=list(heard), late_ms=[0.5, 1.5], closed=closed, failure=failure)


WHOLE: Final = log(
    partial(1.25, 1, "", ""),  # nothing to read yet
    partial(1.5, 1, "", "Hello"),
    partial(2.0, 1, "Hello", " they're"),
    status(2.25, "queued"),
    final(2.5, 1, 0.75, 2.25, ("Hello", 1.0, 1.5), ("there.", 1.5, 2.0)),
    status(5.0, "queued"),
    final(5.25, 2, 3.75, 5.0, ("Good", 4.0, 4.25), ("night,", 4.25, 4.75)),
    status(6.25, "queued"),
    final(6.5, 3, 5.25, 6.25, ("good", 5.25, 5.5), ("night.", 5.5, 6.0)),
    status(6.75, "finished"),
)


def test_delays_count_from_when_the_sound_was_spoken() -> None:
    found = delays_of([SPOKEN], [WHOLE])
    assert found.first_ms == [500.0, 1250.0]  # a partial without words is none; the second has its final only
    assert found.final_ms == [500.0, 500.0]  # of a recording that was cut in two, the last one's
    assert found.stable_ms == [500.0, 500.0, 1000.0, 500.0, 1000.0, 500.0]  # `Hello` was stable before the final
    assert (found.missed, found.unanswered, found.errors, found.refused) == (0, 0, 0, 0)
    assert (found.utterances, found.words, found.partials) == (3, 6, 3)
    assert found.speech_s == 3.75
    assert found.late_ms == [0.5, 1.5]
    assert found.word_error_rate == 0.0


def test_what_changed_is_counted_with_and_without_case_and_punctuation() -> None:
    found = delays_of([SPOKEN], [log(partial(1.5, 1, "", "hello, there"), *WHOLE.heard[3:])])
    assert (found.changed, found.changed_bare) == (2, 0)


def test_all_words_from_the_first_difference_on_have_changed() -> None:
    assert n_changed([]) == 0
    assert n_changed(["a b c"]) == 0
    assert n_changed(["a", "a b", "a b c"]) == 0
    assert n_changed(["a b c", "a x c d"]) == 2
    assert n_changed(["a b c", "a", "b"]) == 3
    assert n_changed(["a b", ""]) == 2


def test_an_utterance_over_two_recordings_gives_neither_the_delay_between_them() -> None:
    found = delays_of([SPOKEN], [log(status(6.25, "queued"), final(6.5, 1, 0.75, 6.25, ("Hello", 1.0, 1.5), ("night.", 5.5, 6.0)))])
    assert len(found.first_ms) == 1
    assert len(found.final_ms) == 1
    assert found.missed == 0


def test_a_recording_that_nobody_heard_is_missed_and_an_utterance_without_a_final_unanswered() -> None:
    found = delays_of([SPOKEN], [log(*WHOLE.heard[:5], status(5.0, "queued"))])
    assert (found.missed, found.unanswered, found.utterances) == (1, 1, 1)
    assert found.word_error_rate == pytest.approx(4 / 6)


def test_a_refused_session_is_no_error_and_is_not_scored() -> None:
    refused = log(Heard(at_s=0.0, message=Message(error={"message": "full"})), closed=1013)
    found = delays_of([SPOKEN, SPOKEN], [WHOLE, refused])
    assert (found.refused, found.errors, found.missed, found.word_error_rate) == (1, 0, 0, 0.0)
    assert delays_of([SPOKEN], [refused]).word_error_rate is None


@pytest.mark.parametrize(
    ("broken", "errors"),
    [
        (log(closed=1006), 1),
        (Log(failure="no connection"), 1),
        (log(failure="not closed"), 1),
        (log(Heard(at_s=1.0, message=Message(error={})), Heard(at_s=2.0, message=Message(error={}))), 2),
    ],
)
def test_sessions_that_end_badly_and_error_messages_are_errors(broken: Log, errors: int) -> None:
    assert delays_of([[]], [broken]).errors == errors


def test_nothing_heard_is_no_figure() -> None:
    assert delays_of([], []) == Delays()


def tone(seconds: float, *, silence_s: float) -> Recording:
    quiet = np.zeros(round(silence_s * MODEL_RATE_HZ), np.float32)
    loud = np.full(round(seconds * MODEL_RATE_HZ), 0.5, np.float32)
    return Recording(name="", text=f"{seconds} seconds", voice="", samples=np.concatenate([quiet, loud, quiet]))


def test_a_script_knows_when_each_recording_really_begins_and_ends() -> None:
    samples, spoken = composed([tone(1.0, silence_s=0.5), tone(2.0, silence_s=0.25)], 20.0, seed=3)
    assert samples.size == 20 * MODEL_RATE_HZ
    loud = np.flatnonzero(samples)
    edges = np.flatnonzero(np.diff(loud) > 1)
    starts, ends = np.append(loud[0], loud[edges + 1]), np.append(loud[edges], loud[-1]) + 1
    assert [round(one.start_s * MODEL_RATE_HZ) for one in spoken] == starts.tolist()
    assert [round(one.end_s * MODEL_RATE_HZ) for one in spoken] == ends.tolist()
    assert (starts[1:] - ends[:-1]).min() >= 0.8 * MODEL_RATE_HZ
    assert samples.size - ends[-1] >= 1.5 * MODEL_RATE_HZ
    assert len(spoken) >= 4  # it begins anew when all are said


def test_every_session_has_an_order_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    one, again, other = (write_script(tmp_path, number, 15.0) for number in (0, 0, 1))
    assert one == again
    assert [spoken.text for spoken in one.spoken] != [spoken.text for spoken in other.spoken]
    with pytest.raises(ValueError, match="too short"):
        write_script(tmp_path, 0, 2.0)


METRICS: Final = """# TYPE stt_batch_run_seconds histogram
stt_batch_run_seconds_bucket{priority="file",le="+Inf"} 9
stt_batch_run_seconds_bucket{priority="live",le="0.1"} 10
stt_batch_run_seconds_bucket{priority="live",le="0.2"} 18
stt_batch_run_seconds_bucket{priority="live",le="+Inf"} 20
stt_batch_run_seconds_count{priority="live"} 20
stt_batch_run_seconds_sum{priority="live"} 3
"""


def test_a_histogram_is_read_by_its_labels() -> None:
    found = histogram(METRICS, "stt_batch_run_seconds", priority="live")
    assert (found.count, found.total, found.mean) == (20.0, 3.0, 0.15)
    assert found.buckets == {0.1: 10.0, 0.2: 18.0, math.inf: 20.0}
    assert histogram("", "stt_batch_run_seconds", priority="live") == Histogram()


def test_a_percentile_lies_within_its_bucket() -> None:
    found = histogram(METRICS, "stt_batch_run_seconds", priority="live")
    assert found.percentile(25) == pytest.approx(0.05)
    assert found.percentile(70) == pytest.approx(0.15)
    assert found.percentile(99) == 0.2  # beyond the last bound nothing more is known
    assert Histogram().percentile(50) is None


def test_a_histogram_s_growth_leaves_out_what_was_there_before() -> None:
    found = histogram(METRICS, "stt_batch_run_seconds", priority="live")
    grown = found.since(Histogram(buckets={0.1: 10.0, 0.2: 10.0, math.inf: 10.0}, total=1.0))
    assert (grown.count, grown.mean) == (10.0, 0.2)
    assert grown.percentile(40) == pytest.approx(0.15)
    assert found.since(found).mean is None


def measure(sessions: int, *, step_ms: float = 50.0, errors: int = 0, final_p95_ms: float = 450.0) -> LiveMeasure:
    return LiveMeasure(
        sessions=sessions, first_p50_ms=390.0, stable_p50_ms=650.0, final_p50_ms=320.0, final_p95_ms=final_p95_ms,
        step_p95_ms=step_ms, wait_p95_ms=100.0, errors=errors, changed=0.25,
    )  # fmt: skip


def test_sessions_are_held_while_answers_take_less_than_the_interval_of_partials() -> None:
    assert measure(1).held
    assert not measure(1, step_ms=100.0).held
    assert not measure(1, errors=1).held
    assert LiveMeasure(sessions=1).held is None
    assert sessions_held([measure(4), measure(1), measure(2), measure(8, step_ms=150.0), measure(16)]) == 4
    assert sessions_held([measure(1, errors=1)]) == 0
    assert sessions_held([LiveMeasure(sessions=1)]) is None


def results(*rows: LiveMeasure, silence_ms: int = 200) -> LiveResults:
    return LiveResults(
        model="bundled", plan={"silence_ms": silence_ms}, environment={"cores": "2", "processor": "one"}, rows=list(rows)
    )


def test_goals_are_those_of_eight_sessions() -> None:
    found = results(measure(4), measure(8, final_p95_ms=501.0), measure(16))
    assert [(goal.value, goal.met) for goal in live_goals_of(found)] == [
        (390.0, True), (650.0, False), (320.0, True), (501.0, False), (16, True),
    ]  # fmt: skip
    assert [goal.met for goal in live_goals_of(results(measure(4)))] == [None, None, None, None, False]


def test_a_live_report_from_json_says_what_was_measured(tmp_path: Path) -> None:
    results(measure(8)).write(tmp_path / "results.json")
    read = read_live_results(tmp_path / "results.json")
    text = as_markdown(live_tables(read))
    assert "| 8 | 390 | 650 | 320 | 450 | 25.0% | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| 8 | 50.0 | 100 | yes |" in text
    assert "| a word stable after its end, p50, with 8 sessions | 650.00 ms | <= 600 ms | no |" in text
    assert "memory MB" not in text  # a column nothing is known of
    assert "<= 600 ms" not in as_markdown(live_tables(results(measure(8), silence_ms=500)))


def test_a_live_picture_is_drawn_of_whatever_rows_there_are(tmp_path: Path) -> None:
    for i, found in enumerate([results(measure(1), measure(8)), results(LiveMeasure(sessions=1)), results()]):
        draw_live(found, tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").read_bytes().startswith(b"\x89PNG")


Talk = Callable[[ServerConnection], Coroutine[Any, Any, None]]


@contextmanager
def talking_server(talk: Talk) -> Iterator[str]:
    """A WebSocket server on a thread of its own."""
    ready, over, urls = threading.Event(), asyncio.Event(), list[str]()

    async def run() -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            urls.append(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws")
            loops.append(asyncio.get_running_loop())
            ready.set()
            await over.wait()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(30.0)
    try:
        yield urls[0]
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child("bench.live_client", log_path=tmp_path_factory.mktemp("client") / "log") as started:
        started.result(Spoke)
        yield started


def job(url: str, folder: Path, *sizes: int, **more: object) -> LiveJob:
    files = [write_wav(folder / f"{n}.wav", np.full(n, n, np.int16)).path for n in sizes]
    return LiveJob(url=url, files=files, **more)  # type: ignore[arg-type]


def test_every_session_sends_its_own_sound_in_pieces_at_its_pace_and_then_finishes(client: Child, tmp_path: Path) -> None:
    async def talk(socket: ServerConnection) -> None:
        heard = b""
        async for data in socket:
            if isinstance(data, str):
                assert json.loads(data) == {"type": "finish"}
                break
            assert len(data) <= 640
            heard += data
        samples = np.frombuffer(heard, "<i2")
        first, same = int(samples[0]), bool((samples == samples[0]).all())
        await socket.send(json.dumps({"text": f"{first} {same}", "final": True, "utterance": samples.size, "start": 0, "end": 1}))

    with talking_server(talk) as url:
        logs = client.ask(job(url, tmp_path, 3200, 3300), Spoke).logs
    assert [found.closed for found in logs] == [1000, 1000]
    assert [(found.heard[0].message.utterance, found.heard[0].message.text) for found in logs] == [
        (3200, "3200 True"), (3300, "3300 True"),
    ]  # fmt: skip
    assert [len(found.late_ms) for found in logs] == [10, 11]
    assert all(late_ms >= 0.0 for found in logs for late_ms in found.late_ms)
    assert all(found.heard[0].at_s >= 0.2 for found in logs)  # the last sample of 3200 is spoken then


def test_a_session_that_is_refused_or_never_closed_is_noted(client: Child, tmp_path: Path) -> None:
    async def talk(socket: ServerConnection) -> None:
        if isinstance(await anext(aiter(socket)), bytes) and socket.request and "refuse" in socket.request.path:
            await socket.close(1013, "full")
        await socket.wait_closed()

    with talking_server(talk) as url:
        (refused,) = client.ask(job(url + "?refuse", tmp_path, 3200), Spoke).logs
        (silent,) = client.ask(job(url, tmp_path, 320, patience_s=0.1), Spoke).logs
    (nobody,) = client.ask(job(url, tmp_path, 320), Spoke).logs
    assert (refused.closed, refused.failure) == (1013, "")
    assert silent.failure == "not closed 0.1 s after the last sound"
    assert nobody.closed == 0
    assert nobody.failure.startswith("no connection")


def answered(says: Callable[[Request], Transcript], asked: list[Request]) -> Callable[[Request], "Future[Transcript]"]:
    def recognise(request: Request) -> "Future[Transcript]":
        asked.append(request)
        answer: Future[Transcript] = Future()
        answer.set_result(says(request))
        return answer

    return recognise


def test_a_session_is_driven_by_the_clock_of_its_sound() -> None:
    word = RulerWord(number=7, start_sample=16_000, n_samples=32_000)
    samples = encode_words([word], 5.0).samples
    sound = Sound(encoding="pcm_f32le", resampler=FakeNormalizer().open_resampler(source_rate_hz=MODEL_RATE_HZ))
    session = LiveSession(FakeVoiceDetector(), sound, LiveRules(partials=True), longest_clip_s=60.0)
    asked: list[Request] = []
    ruler = RulerRecognizer()
    pieces = [samples[at : at + 320].tobytes() for at in range(0, samples.size, 320)]
    finals = finals_of(session, pieces, answered(lambda one: ruler.recognize([one.clip], [one.options])[0], asked), latency_s=0.1)
    assert [[(told.text, told.start_s, told.end_s) for told in one.transcript.words] for one in finals] == [[("w7", 1.0, 3.0)]]
    tentative = [request.clip.duration_s for request in asked if request.tentative]
    assert 8 <= len(tentative) <= 13  # 2.4 s of speech and silence, at most one each 0.2 s, which is twice the latency


@pytest.mark.parametrize("pace", ["pauses", "no pause"])
@pytest.mark.parametrize("partials", [False, True])
def test_two_minutes_of_the_ruler_are_told_as_they_were_written(pace: str, *, partials: bool) -> None:
    found = ruler_result(pace, partials=partials, minutes=2.0)
    assert found.equal, found.first_difference
    assert found.written == found.told > 150
    assert found.utterances > 3


def test_the_ruler_s_words_are_as_they_are_asked_for() -> None:
    paused, dense = words_for("pauses", 1.0), words_for("no pause", 1.0)
    assert all(one.end_sample == other.start_sample for one, other in itertools.pairwise(dense))
    gaps = [other.start_sample - one.end_sample for one, other in itertools.pairwise(paused)]
    assert min(gaps) > 0
    assert max(gaps) > 0.5 * MODEL_RATE_HZ  # some end an utterance


def test_pieces_are_all_of_the_sound_and_cut_through_samples() -> None:
    samples = np.linspace(-1, 1, 100_000, dtype=np.float32)
    pieces = list(pieces_of(samples, seed="any"))
    assert b"".join(pieces) == samples.tobytes()
    assert any(len(piece) % 4 for piece in pieces)


def test_the_first_difference_is_named() -> None:
    one, other = ("w1", 0, 10), ("w2", 10, 20)
    assert first_difference([one, other], [one, other]) == ""
    assert first_difference([one, other], [one]) == "word 1: written ('w2', 10, 20), told None"
    assert first_difference([one], [other]).startswith("word 0")


def sentence(text: str) -> Sentence:
    unknown = np.full(len(text.split()), np.nan)
    return Sentence(words=text.split(), samples=np.zeros(0, np.float32), starts_s=unknown, ends_s=unknown)


def heard_words(text: str) -> list[Word]:
    return [Word(text=word, start_s=0.0, end_s=0.0, logprob=0.0) for word in text.split()]


def test_live_is_compared_with_the_file_word_by_word() -> None:
    said = Said([sentence("hello there my friend"), sentence("good night")])
    file = heard_words("Hello, there my Fred. Good night.")
    alone = said.result("file", file, utterances=1)
    assert (alone.errors, alone.difference, alone.met) == (1, None, None)
    same = said.result("live", heard_words("Hello! There. My Fred! Good; night"), utterances=2, file=file)
    assert (same.errors, same.difference, same.difference_low, same.difference_high, same.met) == (1, 0.0, 0.0, 0.0, True)
    worse = said.result("live", heard_words("Hello there. Good night."), utterances=2, file=file)
    assert worse.difference == pytest.approx(1 / 6)
    assert not worse.met
    shown = as_markdown(tables_of(LongResults(audio_s=60.0, heard=[alone, worse], ruler=[])))
    assert "| live | 2 | 6 | 2 | 33.33% | +16.67% |" in shown


def test_a_long_run_is_met_by_all_or_not_at_all() -> None:
    said = Said([sentence("good night")])
    good, bad = (
        said.result("live", heard_words(text), utterances=1, file=heard_words("good night")) for text in ("good night", "x")
    )
    ruler = ruler_result("pauses", partials=False, minutes=0.1)
    assert LongResults(audio_s=1.0, heard=[good], ruler=[ruler]).met
    assert not LongResults(audio_s=1.0, heard=[good, bad], ruler=[ruler]).met
