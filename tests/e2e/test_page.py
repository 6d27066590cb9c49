"""The page in real Chromium, against the running service and against fakes where the answer must be known."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event, Semaphore
from typing import Any, Final

import msgspec
import numpy as np
import pytest
import srt
import webvtt
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from app.domain.audio import MODEL_RATE_HZ, Clip
from app.domain.ports import Recognizer
from app.settings import Settings
from app.testing.contracts_audio import wav_bytes
from app.testing.recognizers import FAKE_FACTS, FakeRecognizer
from tests.app.service import TEXT, tone, wav
from tests.recordings import concatenated, encode, recordings, word_error_rate
from tests.service import Service

from .page import PATIENCE_MS, REFUSED, Visit, chromium, listening, visiting

SAID: Final = recordings()[:3]
REFERENCE: Final = " ".join(said.text for said in SAID)
SPOKEN: Final = encode(concatenated(SAID, gap_s=1.2), container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=1)
MOST_ERRORS: Final = 0.7  # of these three sentences; the model is the small one
N_WORDS: Final = 10_000
PARTS: Final = ("The first part.", "The second part.", "The third part.")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all; it must not outlive this module, as its loop keeps others from running in this thread."""
    microphone = tmp_path_factory.mktemp("page") / "microphone.wav"
    two = concatenated(SAID[:2], gap_s=1.2)
    microphone.write_bytes(encode(two, container="wav", codec="pcm_s16le", rate_hz=MODEL_RATE_HZ, channels=1))
    with chromium(microphone) as started:
        yield started


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    with visiting(browser, service.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def transcribed(browser: Browser, service: Service) -> Iterator[Visit]:
    """A tab that has uploaded three sentences."""
    with visiting(browser, service.url) as opened:
        opened.upload("three sentences.wav", SPOKEN)
        opened.wait_until_done()
        yield opened


def downloaded(visit: Visit, form: str) -> tuple[str, str]:
    """Return the name and the text of a download."""
    with visit.page.expect_download() as caught:
        visit.page.click(f"#downloads [data-form={form}]")
    return caught.value.suggested_filename, Path(caught.value.path()).read_text()


def test_an_upload_is_written_down(transcribed: Visit) -> None:
    assert word_error_rate(REFERENCE, transcribed.text()) < MOST_ERRORS
    assert transcribed.page.inner_text("#file-status").startswith("Done: ")
    assert transcribed.page.inner_text("#model") == "parakeet-tdt-demo on the CPU"
    assert transcribed.page.is_visible("#demonstration")
    assert transcribed.faults == []


def test_a_clicked_word_is_heard_and_lit_and_the_next_ones_after_it(transcribed: Visit) -> None:
    page = transcribed.page
    page.evaluate("""() => {
        window.lit = [];
        new MutationObserver((changes) => {
            for (const { target } of changes) if (target.classList.contains("now")) window.lit.push(Number(target.dataset.index));
        }).observe(document.getElementById("transcript"), { subtree: true, attributeFilter: ["class"] });
    }""")
    words = json.loads(downloaded(transcribed, "json")[1])["words"]
    page.click(".word[data-index='5']")
    transcribed.until("window.lit.length >= 3")
    assert page.evaluate("window.lit.slice(0, 3)") == [5, 6, 7]
    assert page.evaluate("document.getElementById('audio').currentTime") >= words[7]["start"]
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.click("#play")
    transcribed.until("document.getElementById('audio').paused")
    assert transcribed.faults == []


def test_words_and_the_audio_are_reached_by_keyboard(transcribed: Visit) -> None:
    page = transcribed.page
    page.focus(".sentence .time")
    for key in ("ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.index") == "1"
    page.keyboard.press("Enter")
    transcribed.until("!document.getElementById('audio').paused")
    page.click("#play")
    page.focus("#wave")
    page.keyboard.press("End")
    assert page.get_attribute("#wave", "aria-valuenow") == page.get_attribute("#wave", "aria-valuemax")
    page.keyboard.press("Home")
    assert page.get_attribute("#wave", "aria-valuetext") == "0:00 of 0:10"
    page.focus("#tab-file")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#tab-code", "aria-selected") == "true"
    page.keyboard.press("Home")
    assert page.is_visible("#panel-file")
    assert transcribed.faults == []


def test_downloads_are_what_their_names_say(transcribed: Visit) -> None:
    name, text = downloaded(transcribed, "txt")
    assert (name, text) == ("three sentences.txt", transcribed.text() + "\n")
    as_srt, as_vtt, as_json = (downloaded(transcribed, form)[1] for form in ("srt", "vtt", "json"))
    assert " ".join(" ".join(cue.content.split()) for cue in srt.parse(as_srt)) == text.strip()
    assert " ".join(" ".join(cue.text.split()) for cue in webvtt.from_string(as_vtt).captions) == text.strip()
    words = json.loads(as_json)["words"]
    assert " ".join(word["word"] for word in words) == text.strip() == json.loads(as_json)["text"]
    assert all(word["start"] <= word["end"] <= len(SPOKEN) / 2 / MODEL_RATE_HZ + 1 for word in words)


def test_words_that_the_model_doubted_are_dotted(transcribed: Visit) -> None:
    words = json.loads(downloaded(transcribed, "json")[1])["words"]
    doubted = [word["word"] for word in words if math.exp(word["logprob"]) < 0.6]
    assert 0 < len(doubted) < len(words)
    assert transcribed.page.locator("#transcript .doubt").all_inner_texts() == doubted


def test_speech_is_marked_in_the_waveform_and_pauses_are_not(transcribed: Visit) -> None:
    words = json.loads(downloaded(transcribed, "json")[1])["words"]
    pause_s = next(
        (before["end"] + after["start"]) / 2 for before, after in pairwise(words) if after["start"] - before["end"] > 0.6
    )
    spoken_s = (words[0]["start"] + words[0]["end"]) / 2
    transcribed.until("document.getElementById('clock').textContent.endsWith('0:10')")
    marked = transcribed.page.evaluate(
        """(moments) => {
            const canvas = document.getElementById("wave");
            const lasts = document.getElementById("audio").duration;
            const pixel = (atS) => canvas.getContext("2d").getImageData((atS / lasts) * canvas.width, 1, 1, 1);
            return moments.map((atS) => pixel(atS).data[3] > 0);
        }""",
        [spoken_s, pause_s],
    )
    assert marked == [True, False]


def test_the_code_does_again_what_was_done(transcribed: Visit, tmp_path: Path) -> None:
    (tmp_path / "three sentences.wav").write_bytes(SPOKEN)
    transcribed.page.click("#tab-code")
    curl, python, javascript = transcribed.page.locator("pre").all_inner_texts()
    assert transcribed.page.url + "v1" in javascript
    assert '"three sentences.wav"' in javascript
    transcribed.page.click("#tab-file")
    assert told(sys.executable, "-c", python, cwd=tmp_path) == transcribed.text() + "\n"
    if shutil.which("curl"):
        assert told("bash", "-c", curl, cwd=tmp_path) == downloaded(transcribed, "srt")[1]


def told(*command: str, cwd: Path) -> str:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(("dark", "width"), [(False, 1000), (True, 1000), (False, 320)], ids=["light", "dark", "narrow"])
def test_everybody_can_read_and_reach_it(browser: Browser, service: Service, *, dark: bool, width: int) -> None:
    name = f"{'dark' if dark else 'light'}-{width}"
    with visiting(browser, service.url, dark=dark, width=width) as opened:
        opened.page.click("#sample")
        opened.wait_until_done()
        found = {}
        for tab in ("code", "live", "file"):
            opened.page.click(f"#tab-{tab}")
            opened.screenshot(f"{name}-{tab}")
            found[tab] = violations(opened)
        opened.page.click("#key-open")
        opened.screenshot(f"{name}-key")
        found["key"] = violations(opened)
        too_wide = opened.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert found == {"code": [], "live": [], "file": [], "key": []}
    assert not too_wide
    assert opened.faults == []


def violations(visit: Visit) -> list[Any]:
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in Axe().run(visit.page).response["violations"]]


def test_forced_colours_show_the_spoken_word_and_the_chosen_tab(browser: Browser) -> None:
    with listening(Settings(), lambda: FakeRecognizer(TEXT)) as url, visiting(browser, url, forced_colors=True) as opened:
        opened.upload("a.wav", wav(3))
        opened.wait_until_done()
        opened.page.click(".word[data-index='1']")
        opened.page.click("#play")
        opened.until("document.querySelector('.word.now')")
        for of, style, n in ((".word", "backgroundColor", len(TEXT.split())), ("[role=tab]", "borderBottomWidth", 3)):
            look = "([of, style]) => [...document.querySelectorAll(of)].map((one) => getComputedStyle(one)[style])"
            found = opened.page.evaluate(look, [of, style])
            assert len(found) == n
            assert len(set(found)) == 2
        opened.screenshot("forced-colours")
        assert opened.faults == []


def captions(visit: Visit) -> str:
    """Listen until the second utterance is told; return all that is."""
    page = visit.page
    page.click("#tab-live")
    page.click("#listen")
    page.wait_for_selector("#tentative:not(:empty)", timeout=PATIENCE_MS)
    begun = page.inner_text("#tentative").split()[0]
    page.wait_for_selector("#captions p >> nth=1", timeout=PATIENCE_MS)
    visit.screenshot("live")
    page.click("#listen")
    page.wait_for_selector("#listen:not(.running)", timeout=PATIENCE_MS)
    lines = page.locator("#captions p span").all_inner_texts()
    assert lines[0].split()[0] == begun
    delays = page.locator("#captions time").all_inner_texts()
    assert len(delays) == len(lines)
    assert all(0 <= float(delay.removesuffix(" s")) < 10 for delay in delays if delay)
    assert page.inner_text("#delay").startswith("Text ")
    assert page.is_hidden("#live-error")
    return " ".join(lines)


def test_the_microphone_is_written_down_while_it_is_heard(visit: Visit) -> None:
    page, spoken = visit.page, " ".join(said.text for said in SAID[:2])
    for _ in range(3):  # on a busy machine Chromium's microphone stutters
        if (errors := word_error_rate(spoken, captions(visit))) < MOST_ERRORS:
            break
        page.reload()
    assert errors < MOST_ERRORS
    page.click("#tab-code")
    _terminal, python, javascript = page.locator("pre").all_inner_texts()
    compile(python, "snippet", "exec")
    assert f"{page.url.replace('http', 'ws')}v1/realtime" in javascript
    assert visit.faults == []


def test_a_recording_is_written_down(visit: Visit) -> None:
    page = visit.page
    page.click("#record")
    visit.until("/Stop 0:0[3-9]/.test(document.getElementById('record').textContent)")
    page.click("#record")
    visit.wait_until_done()
    page.click("#tab-code")
    assert "recording.webm" in page.inner_text("#snippets")
    assert visit.faults == []


def test_a_dropped_file_is_written_down_whatever_tab_is_open(visit: Visit) -> None:
    page = visit.page
    page.click("#tab-live")
    visit.drag("dragover", ("three sentences.wav", SPOKEN))
    assert page.get_attribute("#drop", "class") == "drop over"
    visit.drag("drop", ("three sentences.wav", SPOKEN))
    assert page.get_attribute("#drop", "class") == "drop"
    assert page.is_visible("#panel-file")
    visit.wait_until_done()
    assert word_error_rate(REFERENCE, visit.text()) < MOST_ERRORS
    assert page.inner_text("#clock") == "0:00 / 0:10"
    assert visit.faults == []


def test_of_several_files_that_are_dropped_the_first_is_taken_and_the_page_says_so(visit: Visit) -> None:
    visit.drag("drop", ("three sentences.wav", SPOKEN), ("second.wav", SPOKEN), ("third.wav", SPOKEN))
    visit.wait_until_done()
    assert visit.page.inner_text("#file-error") == "One file at a time: three sentences.wav was taken, second.wav, third.wav not."
    assert visit.faults == []


def test_the_transcript_grows_while_the_rest_is_still_heard(browser: Browser) -> None:
    released, left = Semaphore(0), iter(PARTS)

    def say(_: Clip) -> str:
        assert released.acquire(timeout=PATIENCE_MS / 1000)
        return next(left)

    facts = msgspec.structs.replace(FAKE_FACTS, batch_padded_s=5.0)  # so that each window is a batch of its own
    spoken = np.tile(np.concatenate([tone(3.0), np.zeros(MODEL_RATE_HZ, np.float32)]), len(PARTS))
    settings = Settings(single_pass_s=5, window_s=5)
    with listening(settings, lambda: FakeRecognizer(say, facts=facts)) as url, visiting(browser, url) as opened:
        page = opened.page
        try:
            opened.upload("three parts.wav", wav_bytes(spoken, rate_hz=MODEL_RATE_HZ))
            opened.until("document.getElementById('file-status').textContent === 'Transcribing three parts.wav…'")
            assert page.is_hidden("#result")
            for n, part in enumerate(PARTS[:-1], start=1):
                released.release()
                page.get_by_text(part).wait_for(timeout=PATIENCE_MS)
                assert opened.text() == " ".join(PARTS[:n])
                assert page.is_visible("#stop")
                assert page.is_hidden("#downloads")
            opened.screenshot("growing")
        finally:
            released.release(len(PARTS))
        opened.wait_until_done()
        assert opened.text() == " ".join(PARTS)
        assert page.is_hidden("#stop")
        assert opened.faults == []


def test_a_slow_upload_shows_how_far_it_is(visit: Visit) -> None:
    network = visit.page.context.new_cdp_session(visit.page)
    unlimited = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", {**unlimited, "uploadThroughput": len(SPOKEN) / 5})
    visit.upload("three sentences.wav", SPOKEN)
    visit.until("!document.getElementById('sent').hidden && document.getElementById('sent').value > 0")
    assert visit.page.evaluate("document.getElementById('sent').value") < 1
    assert visit.page.inner_text("#file-status") == "Sending three sentences.wav…"
    network.send("Network.emulateNetworkConditions", unlimited)
    visit.wait_until_done()
    assert visit.page.is_hidden("#sent")
    assert word_error_rate(REFERENCE, visit.text()) < MOST_ERRORS
    assert visit.faults == []


def test_what_is_no_audio_is_refused_in_words(visit: Visit) -> None:
    visit.upload("letter.wav", b"Dear Sir or Madam")
    visit.page.wait_for_selector("#file-error", state="visible")
    assert "decoded" in visit.page.inner_text("#file-error")
    assert visit.page.is_visible("#again")
    assert [REFUSED.match(fault)[1] for fault in visit.faults] == ["400"]  # type: ignore[index]


def test_the_description_of_the_api_is_read_without_a_request_to_any_other_host(browser: Browser, service: Service) -> None:
    with visiting(browser, f"{service.url}/docs", dark=True) as opened:
        opened.page.click("text=POST /v1/audio/transcriptions")
        assert "timestamp_granularities[]" in opened.page.inner_text(":target table")
        assert opened.page.evaluate("getComputedStyle(document.body).maxWidth") == "960px"  # its style is not refused
        assert violations(opened) == []
        opened.screenshot("reference")
        assert opened.faults == []


def test_a_key_is_asked_for_and_kept_for_this_tab_alone(browser: Browser) -> None:
    settings = Settings(api_keys=("open-sesame",))
    with listening(settings, lambda: FakeRecognizer(TEXT)) as url, visiting(browser, url) as opened:
        page = opened.page
        page.wait_for_selector("#key-dialog", state="visible")
        assert "An API key is needed" in page.inner_text("#key-reason")
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        opened.until("document.getElementById('key-reason').textContent.startsWith('No such API key')")
        page.wait_for_selector("#key-dialog", state="visible")
        page.fill("#key", "open-sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("#demonstration", state="visible")
        opened.upload("a.wav", wav())
        opened.wait_until_done()
        assert opened.text() == TEXT
        assert page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [["open-sesame"], 0, ""]
        page.click("#tab-code")
        assert "open-sesame" not in page.content()
        page.click("#tab-live")
        page.click("#listen")
        opened.until("document.getElementById('live-status').textContent.startsWith('Listening')")
        assert [REFUSED.match(fault)[1] for fault in opened.faults] == ["401", "401"]  # type: ignore[index]


def test_a_service_that_cannot_yet_says_when_to_come_back(browser: Browser) -> None:
    loaded = Event()

    def load() -> Recognizer:
        loaded.wait(PATIENCE_MS / 1000)
        return FakeRecognizer(TEXT)

    with listening(Settings(), load, ready=False) as url, visiting(browser, url) as opened:
        try:
            opened.upload("a.wav", wav())
            opened.page.wait_for_selector("#file-error", state="visible")
            assert "Try again in 5 seconds." in opened.page.inner_text("#file-error")
            assert opened.page.inner_text("#model") == "The model is loading…"
        finally:
            loaded.set()
        opened.until("document.getElementById('model').textContent.startsWith('fake on')")
        opened.page.click("#again")
        opened.wait_until_done()
        assert opened.text() == TEXT
        assert opened.page.is_hidden("#file-error")


def test_ten_thousand_words_make_few_elements(browser: Browser) -> None:
    text = " ".join(f"w{i}." if i % 12 == 11 else f"w{i}" for i in range(N_WORDS))
    with listening(Settings(), lambda: FakeRecognizer(text)) as url, visiting(browser, url) as opened:
        page = opened.page
        opened.upload("long.wav", wav(40))
        opened.wait_until_done()
        assert page.inner_text("#file-status").startswith("Done: 10,000 words")
        assert page.locator(".sentence").count() == N_WORDS // 12 + 1
        assert page.evaluate("document.getElementById('transcript').textContent.includes('w9998 w9999')")
        assert page.locator(".word[data-index='0']").count() == 1
        assert page.locator(".word").count() < N_WORDS // 10
        page.evaluate("document.querySelector('.sentence:last-child').scrollIntoView()")
        page.wait_for_selector(f".word[data-index='{N_WORDS - 1}']", state="attached")
        page.wait_for_selector(".word[data-index='0']", state="detached")
        assert page.locator(".word").count() < N_WORDS // 10
        assert opened.faults == []
