"""`/ws`: sound in pieces of any size, exactly one text for each utterance, every choice a client has, and every wrong message."""

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, repeat
from typing import Any, Final, get_args

import msgspec
import numpy as np
import pytest

from app.domain.audio import MODEL_RATE_HZ, Samples
from app.domain.pcm import Encoding
from app.domain.ports import VoiceStream
from app.entrypoints.http.parameters import LONGEST_KEYWORD, MOST_KEYWORDS
from app.entrypoints.websocket.plain_messages import Asked, read_choices
from app.settings import Settings
from app.testing.fakes import FakeVoiceDetector
from app.testing.recognizers import FakeRecognizer, GatedRecognizer
from app.testing.ruler import RULER_FACTS, RULER_LOGPROB, RulerRecognizer, RulerWord

from .live import PAUSE_S, Heard, Message, cut, floats, rest_of, shorts, spoken, talk
from .service import PATIENCE_S, TEXT, Client, serving, tone

FLOATS: Final = "encoding=pcm_f32le"
QUIET: Final = np.zeros(round(PAUSE_S * MODEL_RATE_HZ), np.float32)
SAID: Final = np.concatenate([QUIET, tone(1.0), QUIET])
FRAME_S: Final = 0.032


class HalfSureDetector(FakeVoiceDetector):
    """Finds speech likely, by 0.6, where the fake is sure of it."""

    def open_stream(self) -> VoiceStream:
        return _HalfSureStream(super().open_stream())


class _HalfSureStream:
    def __init__(self, inner: VoiceStream) -> None:
        self._inner = inner

    def push(self, samples: Samples) -> Samples:
        return np.asarray(self._inner.push(samples) * 0.6, np.float32)


def randomly_cut(data: bytes) -> list[bytes]:
    sizes = np.random.default_rng(5).integers(0, 5_000, 2 * len(data) // 2_500)
    ends = [0, *np.cumsum(sizes).clip(0, len(data)).tolist(), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


CUTS: Final[dict[str, Callable[[bytes], list[bytes]]]] = {
    "single bytes": lambda data: [*cut(data[:3_000], n_bytes=1), data[3_000:]],
    "odd": lambda data: cut(data, n_bytes=333),
    "10 ms": lambda data: cut(data, n_bytes=640),
    "64 KiB": lambda data: cut(data, n_bytes=65_536),
    "at once": lambda data: [data],
    "at random": randomly_cut,
}


def word_of(word: RulerWord) -> Message:
    return {
        "word": word.text,
        "start": round(word.start_sample / MODEL_RATE_HZ, 3),
        "end": round(word.end_sample / MODEL_RATE_HZ, 3),
        "probability": round(float(np.exp(RULER_LOGPROB)), 4),
    }


@pytest.mark.parametrize("way", CUTS)
def test_sound_in_pieces_of_any_size_is_told_the_same(way: str) -> None:
    """Three utterances, the last without silence after it: word by word, at their times, each queued once and told once."""
    samples, utterances = spoken([[1, 2, 3], [4], [5, 6]], quiet_end=False)
    with serving(recognizer=RulerRecognizer()) as (client, _):
        heard = talk(client, CUTS[way](floats(samples)), query=f"{FLOATS}&words=1")
    assert heard.code == 1000
    finals = [message for message in heard.messages if "text" in message]
    assert [message["utterance"] for message in finals] == [1, 2, 3]
    assert [message["words"] for message in finals] == [[word_of(word) for word in words] for words in utterances]
    assert [message["text"] for message in finals] == ["w1 w2 w3", "w4", "w5 w6"]
    assert all(message["final"] is True for message in finals)
    assert heard.statuses == ["queued", "queued", "queued", "finished"]
    assert heard.messages[-1] == {"status": "finished"}
    assert len(heard.messages) == 7
    for message, words in zip(finals, utterances, strict=True):
        assert message["start"] == pytest.approx(words[0].start_sample / MODEL_RATE_HZ - 0.3, abs=FRAME_S)
        assert message["end"] >= words[-1].end_sample / MODEL_RATE_HZ - 0.001


def test_as_with_the_service_replaced_raw_frames_are_queued_and_then_told() -> None:
    """No query, no message: 16 kHz, 16 bits, and a text as soon as the pause is long enough."""
    with serving() as (client, _), client.websocket_connect("/ws") as session:
        for piece in cut(shorts(SAID), n_bytes=640):
            session.send_bytes(piece)
        queued, text = (session.receive_json(timeout=PATIENCE_S) for _ in range(2))
        assert queued == {"status": "queued"}
        assert text["text"] == TEXT
        assert text.keys() == {"text", "utterance", "final", "start", "end"}
        with pytest.raises(queue.Empty):
            session.receive_json(block=False)


def test_the_same_sound_gives_the_same_as_16_bits() -> None:
    with serving() as (client, _):
        whole, odd = (talk(client, cut(shorts(SAID), n_bytes=n)) for n in (200_000, 77))
    assert whole == odd
    assert whole.texts == [TEXT]


def test_silence_alone_is_told_nothing_of() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _):
        heard = talk(client, cut(bytes(5 * 2 * MODEL_RATE_HZ), n_bytes=640))
    assert heard == Heard([{"status": "finished"}], 1000, "")
    assert recognizer.heard == []


def test_no_sound_at_all_is_finished_too() -> None:
    with serving() as (client, _):
        assert talk(client, []) == Heard([{"status": "finished"}], 1000, "")
        assert talk(client, [b"", b"\0"]) == Heard([{"status": "finished"}], 1000, "")


def test_where_nothing_was_said_the_text_is_empty() -> None:
    with serving(recognizer=FakeRecognizer("")) as (client, _):
        heard = talk(client, [shorts(SAID)])
    assert heard.statuses == ["queued", "finished"]
    assert heard.texts == [""]


def test_speech_without_silence_after_it_is_told_at_the_finish() -> None:
    with serving() as (client, _):
        heard = talk(client, [shorts(tone(1.0))])
    assert heard.statuses == ["queued", "finished"]
    assert heard.texts == [TEXT]


def test_speech_that_does_not_end_is_cut_and_no_word_is_lost() -> None:
    samples, (words,) = spoken([range(60)])  # 18 s
    with serving(Settings(live_utterance_s=5), recognizer=RulerRecognizer()) as (client, _):
        heard = talk(client, cut(floats(samples), n_bytes=4_000), query=FLOATS)
    assert len(heard.texts) >= 4
    assert heard.said == " ".join(word.text for word in words)


# Choices


def asked_both_ways(client: Client, choices: dict[str, Any], pieces: list[bytes]) -> Heard:
    """Choose in the query, then in a start message with and without a type: the same is told."""
    in_query = "&".join(f"{name}={str(value).lower()}" for name, value in choices.items())
    heard = [talk(client, pieces, query=in_query)]
    heard += [talk(client, pieces, start=start) for start in (choices, {"type": "start", **choices})]
    assert heard[0] == heard[1] == heard[2]
    assert heard[0].errors == []
    return heard[0]


def test_another_rate_is_told_at_the_times_of_its_sound() -> None:
    sound = np.concatenate([np.zeros(48_000), np.full(48_000, 0.25), np.zeros(48_000)]).astype(np.float32)
    with serving() as (client, _):
        heard = asked_both_ways(client, {"sample_rate": 48_000, "encoding": "pcm_f32le"}, cut(floats(sound), n_bytes=999))
    (final,) = [message for message in heard.messages if "text" in message]
    assert final["start"] == pytest.approx(0.7, abs=FRAME_S)
    assert final["end"] == pytest.approx(2.2, abs=2 * FRAME_S)


@pytest.mark.parametrize(("encoding", "loud", "quiet"), [("g711_ulaw", 0x9F, 0xFF), ("g711_alaw", 0x85, 0xD5)])
def test_telephone_sound_is_at_8_khz_if_nothing_else_is_said(encoding: str, loud: int, quiet: int) -> None:
    sound = [bytes([quiet]) * 8_000, bytes([loud]) * 8_000, bytes([quiet]) * 8_000]
    with serving() as (client, _):
        heard = asked_both_ways(client, {"encoding": encoding}, sound)
        at_16_khz = asked_both_ways(client, {"encoding": encoding, "sample_rate": 16_000}, [sound[0], sound[1] * 2, sound[2]])
    (final,) = [message for message in heard.messages if "text" in message]
    assert final["start"] == pytest.approx(0.7, abs=FRAME_S)
    (final,) = [message for message in at_16_khz.messages if "text" in message]
    assert final["start"] == pytest.approx(0.2, abs=FRAME_S)


def test_words_are_told_when_asked_for() -> None:
    samples, (words,) = spoken([[7, 8]])
    with serving(recognizer=RulerRecognizer()) as (client, _):
        heard = asked_both_ways(client, {"words": True, "encoding": "pcm_f32le"}, [floats(samples)])
    assert heard.messages[1]["words"] == [word_of(word) for word in words]


def test_keywords_reach_the_recogniser() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _):
        talk(client, [shorts(SAID)], query="keywords=Sagan&keywords=Kepler,%20Johannes&keywords%5B%5D=Sagan")
        talk(client, [shorts(SAID)], start={"keywords": ["  Tycho   Brahe ", ""]})
        talk(client, [shorts(SAID)])
    assert [options.keywords for options in recognizer.asked] == [("Sagan", "Kepler, Johannes"), ("Tycho Brahe",), ()]


def test_a_shorter_silence_ends_utterances_sooner() -> None:
    gap = np.zeros(round(0.3 * MODEL_RATE_HZ), np.float32)
    pieces = [shorts(np.concatenate([tone(0.5), gap, tone(0.5), QUIET]))]
    with serving() as (client, _):
        assert len(asked_both_ways(client, {}, pieces).texts) == 1
        assert len(asked_both_ways(client, {"silence_ms": 200}, pieces).texts) == 2


def test_the_prefix_is_kept_before_speech() -> None:
    with serving() as (client, _):
        starts = [
            asked_both_ways(client, {"prefix_ms": prefix_ms}, [shorts(SAID)]).messages[1]["start"] for prefix_ms in (0, 300, 900)
        ]
    assert starts == [pytest.approx(PAUSE_S - prefix_s, abs=FRAME_S) for prefix_s in (0, 0.3, 0.9)]


def test_the_threshold_says_what_is_speech() -> None:
    with serving(detector=HalfSureDetector()) as (client, _):
        assert asked_both_ways(client, {"threshold": 0.5}, [shorts(SAID)]).texts == [TEXT]
        assert asked_both_ways(client, {"threshold": 0.7}, [shorts(SAID)]).texts == []


def test_without_endpointing_only_a_commit_ends_an_utterance() -> None:
    samples, words = spoken([[1], [2], [3]])
    with (
        serving(recognizer=RulerRecognizer()) as (client, _),
        client.websocket_connect(f"/ws?{FLOATS}&endpointing=false") as session,
    ):
        places = [0, words[1][-1].end_sample, words[2][-1].end_sample]
        for start, end in pairwise(places):
            session.send_bytes(floats(samples[start:end]))
            session.send_json({"type": "commit"})
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    assert heard.texts == ["w1 w2", "w3"]
    finals = [message for message in heard.messages if "text" in message]
    bounds = [place / MODEL_RATE_HZ for place in places]
    assert [(message["start"], message["end"]) for message in finals] == [
        (pytest.approx(start, abs=FRAME_S), pytest.approx(end, abs=0.001)) for start, end in pairwise(bounds)
    ]


def test_a_commit_ends_the_present_utterance_at_once() -> None:
    with serving() as (client, _), client.websocket_connect("/ws") as session:
        session.send_bytes(shorts(tone(0.5)))
        session.send_json({"type": "commit"})
        assert session.receive_json(timeout=PATIENCE_S) == {"status": "queued"}
        text = session.receive_json(timeout=PATIENCE_S)
        assert (text["text"], text["start"], text["end"]) == (TEXT, 0.0, 0.5)


def test_what_is_cleared_is_forgotten() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _), client.websocket_connect("/ws") as session:
        session.send_bytes(shorts(tone(0.5)))
        session.send_json({"type": "clear"})
        session.send_bytes(shorts(QUIET))
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    assert heard.messages == [{"status": "finished"}]
    assert recognizer.heard == []


def test_a_start_message_goes_before_the_query() -> None:
    recognizer = FakeRecognizer(TEXT)
    with serving(recognizer=recognizer) as (client, _):
        start = {"sample_rate": 8_000, "words": None, "unknown": [1]}
        heard = talk(client, [shorts(SAID)], query="words=1&sample_rate=48000&keywords=kept", start=start)
    assert heard.errors == []
    (final,) = [message for message in heard.messages if "text" in message]
    assert final["end"] == pytest.approx(2 * 2.0 + 0.2, abs=3 * FRAME_S)  # at half the rate everything takes twice as long
    assert recognizer.asked[0].keywords == ("kept",)


def test_partials_are_told_while_someone_speaks_and_what_is_stable_stays() -> None:
    samples, (words,) = spoken([range(40)])
    told: list[Message] = []
    with serving(recognizer=RulerRecognizer()) as (client, _), client.websocket_connect(f"/ws?{FLOATS}&partials=1") as session:
        for piece in cut(floats(samples), n_bytes=16_000):
            session.send_bytes(piece)
            try:
                told.append(session.receive_json(timeout=0.25))  # longer than partials are apart
            except queue.Empty:
                continue
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    told += heard.messages
    partials = [message for message in told if message.get("final") is False]
    assert len(partials) > 5
    stable = ""
    for partial in partials:
        assert partial.keys() == {"text", "utterance", "final", "start", "end", "stable", "tentative"}
        assert partial["stable"] + partial["tentative"] == partial["text"]
        assert partial["stable"].startswith(stable)
        assert partial["utterance"] == 1
        assert partial["start"] == pytest.approx(PAUSE_S - 0.3, abs=FRAME_S)
        stable = partial["stable"]
    assert stable
    (final,) = [message for message in told if message.get("final")]
    assert final["text"] == " ".join(word.text for word in words)
    assert final["text"].startswith(stable)


def test_without_asking_there_are_no_partials() -> None:
    with serving() as (client, _):
        heard = talk(client, cut(shorts(np.concatenate([tone(5), QUIET])), n_bytes=640))
    assert [message.get("final", True) for message in heard.messages] == [True, True, True]


# Wrong messages

BAD_CHOICES: Final[list[tuple[str, Any]]] = [
    ("sample_rate", 7_999), ("sample_rate", 48_001), ("sample_rate", "fast"), ("sample_rate", 16_000.5),
    ("encoding", "mp3"), ("encoding", ""), ("partials", "perhaps"), ("words", 2), ("endpointing", "off"),
    ("silence_ms", 99), ("silence_ms", 10_001), ("threshold", 0), ("threshold", 1), ("threshold", "nan"),
    ("prefix_ms", -1), ("prefix_ms", 2_001),
]  # fmt: skip
BAD_JSON: Final[list[tuple[Any, str | None]]] = [
    ({"type": "stop"}, "type"),
    ({"type": 1}, "type"),
    ({"type": ["finish"]}, "type"),
    ({"type": None}, "type"),
    ({"type": "commit"}, None),  # of nothing
    ({"keywords": "no list"}, "keywords"),
    ({"keywords": [1]}, "keywords"),
    ({"keywords": ["k" * (LONGEST_KEYWORD + 1)]}, "keywords"),
    ({"keywords": [f"k{i}" for i in range(MOST_KEYWORDS + 1)]}, "keywords"),
    ([], None),
    ("start", None),
    (1, None),
    ({"type": "start", "padding": "x" * 300_000}, None),
    *(({"type": "start", name: value}, name) for name, value in BAD_CHOICES),
]


@pytest.fixture(scope="module")
def client() -> Any:
    with serving() as (running, _):
        yield running


@pytest.mark.parametrize(("message", "param"), BAD_JSON, ids=[str(message)[:40] for message, _ in BAD_JSON])
def test_a_bad_message_is_told_of_with_its_field_and_the_session_goes_on(client: Client, message: Any, param: str | None) -> None:
    heard = talk(client, [shorts(SAID)], start=message)
    (error,) = heard.errors
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_value", param)
    assert error["message"]
    assert heard.messages[0] == {"error": error}
    assert heard.texts == [TEXT]
    assert heard.statuses == ["queued", "finished"]
    assert heard.code == 1000


@pytest.mark.parametrize("text", ["", "hello", "{", '{"type": "finish"', "{'type': 'finish'}", "\0", "[" * 100_000])
def test_text_that_is_no_json_is_told_of_and_the_session_goes_on(client: Client, text: str) -> None:
    with client.websocket_connect("/ws") as session:
        session.send_text(text)
        session.send_bytes(shorts(SAID))
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    (error,) = heard.errors
    assert (error["code"], error["param"]) == ("invalid_value", None)
    assert heard.texts == [TEXT]


def test_a_start_after_sound_is_told_of_and_changes_nothing(client: Client) -> None:
    with client.websocket_connect("/ws") as session:
        session.send_bytes(shorts(SAID))
        session.send_json({"type": "start", "sample_rate": 8_000})
        session.send_bytes(shorts(SAID))
        session.send_json({"type": "finish"})
        heard = rest_of(session)
    assert [error["param"] for error in heard.errors] == ["type"]
    starts = [message["start"] for message in heard.messages if "text" in message]
    assert starts == [pytest.approx(0.7, abs=FRAME_S), pytest.approx(3.7, abs=FRAME_S)]


@pytest.mark.parametrize(("name", "value"), [pair for pair in BAD_CHOICES if pair[1] != ""], ids=str)
def test_a_bad_query_is_refused_with_its_field(client: Client, name: str, value: Any) -> None:
    with client.websocket_connect(f"/ws?{name}={value}") as session:
        heard = rest_of(session)
    (error,) = heard.errors
    assert (error["code"], error["param"]) == ("invalid_value", name)
    assert (heard.code, len(heard.messages)) == (1008, 1)
    assert name in heard.reason


def test_a_refusal_says_what_may_be_chosen() -> None:
    for field in Asked.__struct_fields__:
        with pytest.raises(Exception, match=f"`{field}` must be ") as refused:
            read_choices({field: {"no": "such value"}})
        if field == "encoding":
            assert all(name in str(refused.value) for name in get_args(Encoding))


def test_a_message_to_a_finished_session_is_not_read(client: Client) -> None:
    with client.websocket_connect("/ws") as session:
        session.send_bytes(shorts(SAID))
        session.send_json({"type": "finish"})
        session.send_text("no json")
        session.send_bytes(shorts(SAID))
        heard = rest_of(session)
    assert (heard.texts, heard.errors, heard.code) == ([TEXT], [], 1000)


# Failures and neighbours


def test_an_utterance_that_fails_is_answered_by_an_error_that_names_it() -> None:
    recognizer = FakeRecognizer(TEXT, fails_on=lambda clip: clip.duration_s > 3)
    pieces = [shorts(np.concatenate([tone(seconds), QUIET])) for seconds in (1, 4, 1)]
    with serving(recognizer=recognizer) as (client, _):
        heard = talk(client, pieces)
    answers = [message for message in heard.messages if "utterance" in message]
    assert [message["utterance"] for message in answers] == [1, 2, 3]
    assert [message.get("text") for message in answers] == [TEXT, None, TEXT]
    assert answers[1].keys() == {"error", "utterance"}
    assert answers[1]["error"]["code"] == "internal_error"
    assert "fake" not in answers[1]["error"]["message"]
    assert heard.statuses == ["queued"] * 3 + ["finished"]


def test_many_sessions_at_a_time_each_hear_their_own_words() -> None:
    def speak(client: Client, i: int) -> tuple[list[str], list[str]]:
        samples, words = spoken([[100 * i + j, 100 * i + j + 1] for j in range(0, 6, 2)])
        heard = talk(client, cut(floats(samples), n_bytes=500 + 100 * i), query=FLOATS)
        return heard.texts, [" ".join(word.text for word in one) for one in words]

    with serving(recognizer=RulerRecognizer()) as (client, _), ThreadPoolExecutor(8) as pool:
        for heard, said in pool.map(speak, repeat(client), range(8)):
            assert heard == said


def test_a_session_never_hears_what_an_earlier_one_said() -> None:
    gated = GatedRecognizer(FakeRecognizer(lambda clip: f"{clip.duration_s:.0f} seconds"))
    with serving(recognizer=gated) as (client, _):
        with client.websocket_connect("/ws") as first:
            first.send_bytes(shorts(np.concatenate([tone(5), QUIET])))
            assert first.receive_json(timeout=PATIENCE_S) == {"status": "queued"}
            assert gated.entered.wait(PATIENCE_S)
        with client.websocket_connect("/ws") as second:
            second.send_bytes(shorts(np.concatenate([tone(1.5), QUIET])))
            assert second.receive_json(timeout=PATIENCE_S) == {"status": "queued"}
            gated.let_go.set()
            second.send_json({"type": "finish"})
            heard = rest_of(second)
    assert heard.texts == ["2 seconds"]


def test_a_recogniser_that_hears_little_at_a_time_hears_all_of_it() -> None:
    """It refuses a longer clip, so a word that was said proves that none was handed in."""
    samples, (words,) = spoken([range(60)])
    recognizer = RulerRecognizer(facts=msgspec.structs.replace(RULER_FACTS, longest_clip_s=6.0))
    with serving(recognizer=recognizer) as (client, _):
        heard = talk(client, cut(floats(samples), n_bytes=64_000), query=f"{FLOATS}&prefix_ms=2000")
    assert heard.said == " ".join(word.text for word in words)
    assert heard.errors == []
