"""Settings whose effect nothing else shows on its way from their name to what they change."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Final

import pytest
import structlog

from app.container import Container
from app.domain.audio import Clip
from app.domain.engine import Engine
from app.domain.errors import ModelUnavailableError, OverloadedError
from app.domain.pace import BatchReport
from app.domain.ports import Options
from app.domain.transcript import Transcript
from app.entrypoints.logs import configure_logs
from app.settings import Settings
from app.testing.recognizers import FakeRecognizer, GatedRecognizer

from .service import PATIENCE_S, TEXT, check_envelope, make_container, send, serving, tone, wav

OPTIONS: Final = Options()
_PACE: Final = 0.125  # of the slow recogniser: seconds of run time for each second of audio


class Scene:
    """The engine of a container on a clock that only its recogniser moves, and a gate before each batch."""

    def __init__(self, settings: Settings) -> None:
        self.now_s = 0.0
        self.fake = FakeRecognizer(self._say)
        self.gate = GatedRecognizer(self.fake)
        self.reports: list[BatchReport] = []
        container = make_container(settings, lambda: self.gate)
        provider: Any = container.engine
        provider.add_kwargs(now_s=lambda: self.now_s)
        self.engine: Engine = container.engine()
        self.engine.on_batch(self.reports.append)
        self.engine.start()
        self.engine.loaded.result(PATIENCE_S)
        self._answers: list[Future[Transcript]] = []

    def submit(self, duration_s: float, *, live: bool = False) -> None:
        self._answers.append(self.engine.submit(Clip(tone(duration_s)), OPTIONS, live=live))

    def hold(self, duration_s: float, *, live: bool = False) -> None:
        """Have a batch stand at the gate, so that what comes now waits."""
        self.gate.let_go.clear()
        self.gate.entered.clear()
        self.submit(duration_s, live=live)
        assert self.gate.entered.wait(PATIENCE_S)

    def run(self) -> None:
        """Open the gate and wait for every answer."""
        self.gate.let_go.set()
        assert not wait(self._answers, PATIENCE_S).not_done

    def _say(self, clip: Clip) -> str:
        self.now_s += clip.duration_s * _PACE
        return "said"


@contextmanager
def scene(settings: Settings) -> Iterator[Scene]:
    on_stage = Scene(settings)
    try:
        yield on_stage
    finally:
        on_stage.gate.let_go.set()
        on_stage.engine.close()


@pytest.mark.parametrize(("single_pass_s", "window_s", "lengths"), [(8, 5, [7.0]), (6, 5, [5.0, 2.0]), (6, 6, [6.0, 1.0])])
def test_a_file_goes_whole_up_to_single_pass_s_and_else_in_windows_of_window_s(
    single_pass_s: float, window_s: float, lengths: list[float]
) -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(Settings(single_pass_s=single_pass_s, window_s=window_s), recognizer=recognizer) as (client, _):
        assert send(client, wav(7)).status_code == 200
    assert len(recognizer.heard) == len(lengths)
    assert max(clip.duration_s for clip in recognizer.heard) <= max(lengths)


@pytest.mark.parametrize(("max_wait_s", "refused"), [(1.0, True), (2.0, False)])
def test_a_file_that_would_wait_longer_than_max_wait_s_is_refused(max_wait_s: float, refused: bool) -> None:
    with scene(Settings(max_wait_s=max_wait_s)) as on_stage:
        on_stage.submit(8)
        on_stage.run()
        on_stage.hold(8)
        on_stage.submit(12)  # runs for 1.5 s
        if refused:
            with pytest.raises(OverloadedError, match="longer than the 1 s"):
                on_stage.submit(1)
        else:
            on_stage.submit(1)
        on_stage.run()


@pytest.mark.parametrize(("linger_ms", "waited"), [(150, True), (0, False)])
def test_a_lone_clip_waits_linger_ms_for_as_many_as_there_were(linger_ms: float, waited: bool) -> None:
    reports: list[BatchReport] = []
    gate = GatedRecognizer(FakeRecognizer(TEXT))
    engine: Engine = make_container(Settings(linger_ms=linger_ms), lambda: gate).engine()
    engine.on_batch(reports.append)
    engine.start()
    engine.loaded.result(PATIENCE_S)
    answers = [engine.submit(Clip(tone(1)), OPTIONS)]
    assert gate.entered.wait(PATIENCE_S)
    answers += [engine.submit(Clip(tone(1)), OPTIONS) for _ in range(2)]
    gate.let_go.set()
    wait(answers, PATIENCE_S)
    engine.submit(Clip(tone(1)), OPTIONS).result(PATIENCE_S)
    engine.close()
    assert [len(report.audio_s) for report in reports] == [1, 2, 1]
    assert (reports[-1].waited_s[0] >= 0.15) is waited


@pytest.mark.parametrize(("file_patience_s", "order"), [(0, [1.0, 4.0, 2.0]), (60, [1.0, 2.0, 4.0])])
def test_a_file_takes_turns_with_live_sessions_after_file_patience_s(file_patience_s: float, order: list[float]) -> None:
    with scene(Settings(file_patience_s=file_patience_s)) as on_stage:
        on_stage.hold(1, live=True)
        on_stage.submit(4)
        on_stage.submit(2, live=True)
        on_stage.run()
        assert [clip.duration_s for clip in on_stage.fake.heard] == order


@pytest.mark.parametrize(("file_run_ms", "batches"), [(300, [1, 2, 2]), (1_000, [1, 4])])
def test_file_batches_run_for_file_run_ms_while_a_live_session_is_open(file_run_ms: float, batches: list[int]) -> None:
    with scene(Settings(file_run_ms=file_run_ms)) as on_stage, on_stage.engine.live_session():
        on_stage.hold(1)
        for _ in range(4):
            on_stage.submit(1)
        on_stage.run()
        assert on_stage.fake.batches == batches


def test_a_transcription_that_takes_longer_than_deadline_s_is_503() -> None:
    gate = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(deadline_s=0.05), recognizer=gate) as (client, container):
        before = container.engine().submit(Clip(tone(1)), OPTIONS)
        assert gate.entered.wait(PATIENCE_S)
        late = send(client)
        gate.let_go.set()
        assert before.result(PATIENCE_S).text == TEXT
    assert "0.05 s" in check_envelope(late, 503, kind="server_error", code="overloaded")


def test_a_transcription_more_than_max_requests_is_503() -> None:
    gate = GatedRecognizer(FakeRecognizer(TEXT))
    with serving(Settings(max_requests=1), recognizer=gate) as (client, _), ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, client)
        assert gate.entered.wait(PATIENCE_S)
        refused = send(client)
        gate.let_go.set()
        assert first.result(PATIENCE_S).status_code == 200
    check_envelope(refused, 503, kind="server_error", code="overloaded")


@pytest.mark.parametrize(("settings", "told"), [({"device": "cuda:99"}, "cuda:99"), ({"precision": "float16"}, "float16")])
def test_the_device_and_the_precision_reach_the_recogniser(settings: dict[str, Any], told: str) -> None:
    container = Container(settings=Settings(**{"model": "bundled", "device": "cpu", **settings}))
    with pytest.raises(ModelUnavailableError, match=told):
        container.recognizer()


@pytest.mark.parametrize(("level", "logged"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_nothing_below_the_log_level_is_logged(level: Any, logged: int, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_level=level))
    try:
        log = structlog.get_logger()
        for say in (log.debug, log.info, log.warning, log.error):
            say("something_happened")
    finally:
        structlog.reset_defaults()
    assert len(capsys.readouterr().err.splitlines()) == logged
