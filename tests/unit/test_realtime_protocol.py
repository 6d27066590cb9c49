"""OpenAI's realtime protocol without a socket: what follows from each event of the client's and of the live session."""

import base64
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.domain.errors import OverloadedError, RecognitionError
from app.domain.live_events import Event, Failed, HandedOver, Idle, Partial, Started, Stopped
from app.domain.live_events import Final as FinalText
from app.domain.transcript import Token, Transcript
from app.entrypoints.errors import body_of_failure
from app.entrypoints.websocket.realtime_events import ServerEvent, new_id
from app.entrypoints.websocket.realtime_protocol import (
    Append,
    Clear,
    Commit,
    Configure,
    RealtimeProtocol,
    error_event,
)
from app.entrypoints.websocket.realtime_reading import MOST_AUDIO_BYTES, read_event
from app.entrypoints.websocket.realtime_updates import RefusedEventError, Served, first_config

SERVED: Final = Served(names=("nvidia/parakeet", "whisper-1"), languages=("en",))
LOGPROBS: Final = "item.input_audio_transcription.logprobs"
TRANSCRIPT: Final = "conversation.item.input_audio_transcription"
WORDS: Final = ("Stay", " close", " to", " me", ",", " please", ".")


def counting() -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def opened(*, beta: bool = False, new_id: Callable[[str], str] | None = None) -> RealtimeProtocol:
    return RealtimeProtocol(first_config(SERVED), SERVED, expires_unix_s=1_000, beta=beta, new_id=new_id or counting())


def said(n_tokens: int, of: Sequence[str] = WORDS) -> Transcript:
    return Transcript(tokens=tuple(Token(id=i, text=of[i], start_s=i, end_s=i + 1.0, logprob=-0.5) for i in range(n_tokens)))


def part(stable: Transcript, n_fresh: int) -> Partial:
    fresh = Transcript(tokens=stable.tokens[len(stable.tokens) - n_fresh :])
    return Partial(utterance=1, stable=stable, fresh=fresh, tentative=Transcript())


def final(n_tokens: int = len(WORDS), n_fresh: int = len(WORDS), *, utterance: int = 1) -> FinalText:
    whole = said(n_tokens)
    fresh = Transcript(tokens=whole.tokens[n_tokens - n_fresh :])
    return FinalText(utterance=utterance, transcript=whole, fresh=fresh, start_s=0.7, end_s=2.1004)


def plain(events: Sequence[ServerEvent]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [msgspec.json.decode(msgspec.json.encode(event)) for event in events]
    return found


def told(protocol: RealtimeProtocol, *events: Event) -> list[dict[str, Any]]:
    """What is sent for the session's events, without the events' own ids."""
    sent = plain([one for event in events for one in protocol.told(event)])
    assert all(event.pop("event_id").startswith("event_") for event in sent)
    return sent


def types(sent: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in sent]


def frame(kind: str, **members: Any) -> bytes:
    return msgspec.json.encode({"type": kind, **members})


def update(protocol: RealtimeProtocol, *, event: str = "session.update", **session: Any) -> list[dict[str, Any]]:
    deed = protocol.react(read_event(frame(event, session=session)))
    assert isinstance(deed, Configure)
    return plain(protocol.did(deed))


def refused(protocol: RealtimeProtocol, sent: str | bytes) -> dict[str, Any]:
    with pytest.raises(RefusedEventError) as refusal:
        protocol.react(read_event(sent))
    (event,) = plain([protocol.refused(refusal.value)])
    assert event["type"] == "error"
    error: dict[str, Any] = event["error"]
    assert error.pop("message")
    return error


# Sessions


def test_the_first_event_is_the_whole_session_in_the_dialect_of_the_handshake() -> None:
    (created,) = plain([opened().created()])
    assert (created["type"], created["session"]["type"], created["session"]["expires_at"]) == (
        "session.created", "transcription", 1_000,
    )  # fmt: skip
    (created,) = plain([opened(beta=True).created()])
    assert created["type"] == "transcription_session.created"
    assert (created["session"]["input_audio_format"], created["session"]["client_secret"]) == ("pcm16", None)


def test_an_update_is_answered_with_the_whole_session_under_the_same_id() -> None:
    protocol = opened()
    (created,) = plain([protocol.created()])
    (updated,) = update(protocol, audio={"input": {"turn_detection": None}})
    assert updated["type"] == "session.updated"
    assert updated["session"] == {
        **created["session"],
        "audio": {"input": {**created["session"]["audio"]["input"], "turn_detection": None}},
    }


def test_the_answer_comes_in_the_dialect_of_the_update() -> None:
    protocol = opened()
    (updated,) = update(protocol, event="transcription_session.update", turn_detection=None)
    assert (updated["type"], updated["session"]["turn_detection"]) == ("transcription_session.updated", None)
    (updated,) = update(protocol, include=[LOGPROBS])
    assert (updated["type"], updated["session"]["audio"]["input"]["turn_detection"]) == ("session.updated", None)


@pytest.mark.parametrize(
    ("beta", "first", "created"),
    [
        (False, None, False),
        (True, None, True),
        (False, "transcription_session.update", True),
        (True, "session.update", False),
    ],
)
def test_the_first_update_decides_how_items_are_told(beta: bool, first: str | None, created: bool) -> None:
    protocol = opened(beta=beta)
    if first:
        update(protocol, event=first)
        update(protocol, event="session.update")
        update(protocol, event="transcription_session.update")
    sent = types(told(protocol, HandedOver(utterance=1, start_s=0.0, end_s=1.0)))
    items = ["conversation.item.created"] if created else ["conversation.item.added", "conversation.item.done"]
    assert sent == ["input_audio_buffer.committed", *items]


def test_an_update_that_is_refused_changes_nothing_but_shows_the_dialect() -> None:
    protocol = opened()
    before = protocol.config
    error = refused(protocol, frame("transcription_session.update", event_id="e1", session={"turn_detection": None, "audio": 1}))
    assert error == {"type": "invalid_request_error", "code": "unknown_parameter", "param": "session.audio", "event_id": "e1"}
    assert protocol.config is before
    assert types(told(protocol, HandedOver(utterance=1, start_s=0.0, end_s=1.0)))[-1] == "conversation.item.created"


def test_only_another_sound_has_the_sound_changed() -> None:
    protocol = opened()
    pcm = {"type": "audio/pcm", "rate": 24_000}
    for sent, other in ((pcm, False), ({**pcm, "rate": 16_000}, True), ({"type": "audio/pcmu"}, True), ({}, False)):
        deed = protocol.react(read_event(frame("session.update", session={"audio": {"input": {"format": sent}}})))
        assert deed == Configure(other_sound=other, beta=False)


# Events of the client's


def test_sound_comes_as_base64() -> None:
    assert opened().react(read_event(frame("input_audio_buffer.append", audio="AAEC"))) == Append(b"\0\1\2")
    assert opened().react(read_event(frame("input_audio_buffer.append", audio=""))) == Append(b"")


def test_commit_and_clear_are_deeds() -> None:
    protocol = opened()
    assert protocol.react(read_event(frame("input_audio_buffer.commit"))) == Commit()
    assert protocol.did(Commit()) == ()
    assert protocol.did(Append(b"")) == ()
    assert protocol.react(read_event(frame("input_audio_buffer.clear"))) == Clear()
    assert types(plain(protocol.did(Clear()))) == ["input_audio_buffer.cleared"]


@pytest.mark.parametrize("audio", ["AAE", "AA=A", "A", "A\nAEC", "äöü=", "-_-_", None, 5, ["AAEC"]])
def test_what_is_no_base64_is_refused_by_its_name(audio: object) -> None:
    assert refused(opened(), frame("input_audio_buffer.append", audio=audio, event_id="e7")) == {
        "type": "invalid_request_error", "code": "invalid_value", "param": "audio", "event_id": "e7",
    }  # fmt: skip


def test_an_append_may_hold_15_mib_and_no_more() -> None:
    most = base64.b64encode(bytes(MOST_AUDIO_BYTES)).decode()
    assert read_event(frame("input_audio_buffer.append", audio=most)).audio == bytes(MOST_AUDIO_BYTES)
    for more in (1, 2, 3, 1_000):
        audio = base64.b64encode(bytes(MOST_AUDIO_BYTES + more)).decode()
        assert refused(opened(), frame("input_audio_buffer.append", audio=audio))["param"] == "audio"


@pytest.mark.parametrize(
    ("sent", "param", "event_id"),
    [
        ("", None, None),
        ("{", None, None),
        (b"\xff\xfe\x00\x01", None, None),
        ("[" * 100_000, None, None),
        ("[]", None, None),
        ('"session.update"', None, None),
        ("{}", "type", None),
        ('{"type": 5, "event_id": "e2"}', "type", "e2"),
        ('{"type": "session.updat", "event_id": "e3"}', "type", "e3"),
        ('{"type": "session.created", "event_id": 5}', "type", None),
    ],
)
def test_what_is_no_event_is_told_so(sent: str | bytes, param: str | None, event_id: str | None) -> None:
    error = refused(opened(), sent)
    assert error == {"type": "invalid_request_error", "code": "invalid_event", "param": param, "event_id": event_id}


@pytest.mark.parametrize(
    "members",
    [
        {"type": "x" * 100_000},
        {"type": "session.update", "session": {"y" * 100_000: 1}},
        {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "z" * 100_000}}}}},
        {"type": "session.update", "session": {"include": ["z" * 100_000]}},
        {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "z" * 100_000}}}}},
        {"type": "input_audio_buffer.append", "audio": "ä" * 100_000},
    ],
    ids=lambda members: next(iter(members.get("session", members))),
)
def test_a_refusal_repeats_little_of_what_was_sent(members: dict[str, Any]) -> None:
    protocol = opened()
    with pytest.raises(RefusedEventError) as refusal:
        protocol.react(read_event(msgspec.json.encode({**members, "event_id": "e" * 512})))
    told = protocol.refused(refusal.value)
    assert len(msgspec.json.encode(told)) < 2_000
    assert '"event_id":"eeeee' in msgspec.json.encode(told).decode()


def test_an_event_id_longer_than_any_is_not_told_back() -> None:
    assert refused(opened(), frame("x", event_id="e" * 512))["event_id"] == "e" * 512
    assert refused(opened(), frame("x", event_id="e" * 513))["event_id"] is None


@pytest.mark.parametrize(
    "kind",
    [
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "output_audio_buffer.clear",
        "response.cancel",
        "response.create",
    ],
)
def test_events_of_conversations_are_refused_as_such(kind: str) -> None:
    error = refused(opened(), frame(kind, event_id="e4"))
    assert (error["code"], error["param"], error["event_id"]) == ("unsupported_value", "type", "e4")


def test_an_update_needs_a_session() -> None:
    assert refused(opened(), frame("session.update"))["param"] == "session"
    assert refused(opened(), frame("transcription_session.update", session="x"))["param"] == "session"


def test_a_failure_that_no_event_caused_is_an_error_too() -> None:
    failure = OverloadedError("full", retry_after_s=1)
    (event,) = plain([error_event(body_of_failure(failure), counting())])
    assert event == {
        "type": "error",
        "event_id": "event_1",
        "error": {"type": "server_error", "code": "overloaded", "message": "full", "param": None, "event_id": None},
    }


def test_ids_are_of_the_usual_shape_and_differ() -> None:
    ids = {new_id("item_") for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(len(one) == len("item_") + 21 and one.removeprefix("item_").isalnum() for one in ids)


# Events of the session


def test_an_utterance_is_told_in_the_documented_order() -> None:
    protocol = opened()
    sent = told(
        protocol,
        Started(utterance=1, at_s=0.7),
        Stopped(utterance=1, at_s=2.1004),
        HandedOver(utterance=1, start_s=0.7, end_s=2.0),
        final(),
    )
    item = {
        "id": "item_2",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    text = "Stay close to me, please."
    assert sent == [
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 700, "item_id": "item_2"},
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2_100, "item_id": "item_2"},
        {"type": "input_audio_buffer.committed", "item_id": "item_2", "previous_item_id": None},
        {"type": "conversation.item.added", "previous_item_id": None, "item": item},
        {"type": "conversation.item.done", "previous_item_id": None, "item": item},
        {"type": f"{TRANSCRIPT}.delta", "item_id": "item_2", "content_index": 0, "delta": text},
        {
            "type": f"{TRANSCRIPT}.completed",
            "item_id": "item_2",
            "content_index": 0,
            "transcript": text,
            "usage": {"type": "duration", "seconds": 1.4},
        },
    ]


def test_deltas_are_what_is_new_of_the_stable_text() -> None:
    protocol = opened()
    sent = told(
        protocol, Started(utterance=1, at_s=0), part(said(0), 0), part(said(2), 2), part(said(2), 0), part(said(4), 2), final(7, 3)
    )
    assert [event["delta"] for event in sent if event["type"] == f"{TRANSCRIPT}.delta"] == ["Stay close", " to me", ", please."]


def test_an_utterance_of_nothing_has_an_empty_transcript_and_no_delta() -> None:
    sent = told(opened(), HandedOver(utterance=1, start_s=0.0, end_s=1.0), final(0, 0))
    assert types(sent)[3:] == [f"{TRANSCRIPT}.completed"]
    assert sent[-1]["transcript"] == ""


def test_without_turn_detection_the_item_is_known_from_its_first_event_on() -> None:
    sent = told(opened(), part(said(2), 2), HandedOver(utterance=1, start_s=0.0, end_s=1.0), final(7, 5))
    assert types(sent)[:2] == [f"{TRANSCRIPT}.delta", "input_audio_buffer.committed"]
    assert len({event["item_id"] for event in sent if "item_id" in event}) == 1


def test_log_probabilities_come_if_included() -> None:
    protocol = opened()
    update(protocol, include=[LOGPROBS])
    sent = told(protocol, part(said(2), 2), HandedOver(utterance=1, start_s=0.0, end_s=1.0), final(7, 5))
    deltas, (completed,) = ([event for event in sent if event["type"] == f"{TRANSCRIPT}.{kind}"] for kind in ("delta", "completed"))
    assert [len(delta["logprobs"]) for delta in deltas] == [2, 5]
    assert [one for delta in deltas for one in delta["logprobs"]] == completed["logprobs"]
    assert completed["logprobs"][0] == {"token": "Stay", "logprob": -0.5, "bytes": list(b"Stay")}
    for whole in (*deltas, completed):
        assert "".join(one["token"] for one in whole["logprobs"]) == whole.get("delta", whole.get("transcript"))


def test_a_failure_is_told_of_its_item() -> None:
    sent = told(
        opened(),
        HandedOver(utterance=1, start_s=0.0, end_s=1.0),
        Failed(utterance=1, failure=RecognitionError("no luck")),
    )
    assert sent[-1] == {
        "type": f"{TRANSCRIPT}.failed",
        "item_id": sent[0]["item_id"],
        "content_index": 0,
        "error": {"type": "server_error", "code": "internal_error", "message": "no luck", "param": None},
    }


def test_idleness_is_an_empty_item_in_the_chain() -> None:
    protocol = opened()
    (committed, *_) = told(protocol, HandedOver(utterance=1, start_s=0.0, end_s=1.0))
    sent = told(protocol, Idle(utterance=2, start_s=1.0, end_s=7.0))
    assert types(sent) == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPT}.completed",
    ]
    assert (sent[0]["audio_start_ms"], sent[0]["audio_end_ms"]) == (1_000, 7_000)
    assert (sent[1]["previous_item_id"], sent[1]["item_id"]) == (committed["item_id"], sent[0]["item_id"])
    assert (sent[-1]["transcript"], sent[-1]["usage"]["seconds"]) == ("", 6.0)


def test_without_transcription_items_come_and_texts_do_not() -> None:
    protocol = opened()
    update(protocol, audio={"input": {"transcription": None}})
    sent = told(
        protocol,
        Started(utterance=1, at_s=0.0),
        part(said(2), 2),
        Stopped(utterance=1, at_s=1.0),
        HandedOver(utterance=1, start_s=0.0, end_s=1.0),
        final(7, 5),
        HandedOver(utterance=2, start_s=1.0, end_s=2.0),
        Failed(utterance=2, failure=RecognitionError("no luck")),
        Idle(utterance=3, start_s=2.0, end_s=8.0),
    )
    assert not [kind for kind in types(sent) if kind.startswith(TRANSCRIPT)]
    assert types(sent).count("conversation.item.done") == 3


def test_what_was_stable_while_nobody_wanted_text_is_told_later() -> None:
    protocol = opened()
    update(protocol, audio={"input": {"transcription": None}})
    assert told(protocol, part(said(2), 2)) == []
    update(protocol, audio={"input": {"transcription": {}}})
    sent = told(protocol, part(said(4), 2), HandedOver(utterance=1, start_s=0.0, end_s=1.0), final(7, 3))
    assert [event["delta"] for event in sent if event["type"] == f"{TRANSCRIPT}.delta"] == ["Stay close to me", ", please."]


class Items(RuleBasedStateMachine):
    """Utterances in any order the live session may tell them in; what was sent is kept and compared with what should follow."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = opened(new_id=new_id)
        self.sent: list[dict[str, Any]] = []
        self.n_utterances = 0
        self.open: int | None = None
        self.n_stable: dict[int, int] = {}
        self.handed_over: list[int] = []
        self.n_committed = self.n_ended = 0
        self.forgotten: set[str] = set()
        self.texts: list[str] = []  # of those that are completed, in order

    def tell(self, event: Event) -> None:
        self.sent += plain(self.protocol.told(event))

    @precondition(lambda self: self.open is None)
    @rule(by_voice=st.booleans())
    def start(self, by_voice: bool) -> None:
        self.n_utterances += 1
        self.open = self.n_utterances
        if by_voice:
            self.tell(Started(utterance=self.open, at_s=float(self.n_utterances)))

    @precondition(lambda self: self.open is not None)
    @rule(n_fresh=st.integers(0, 2))
    def partial(self, n_fresh: int) -> None:
        assert self.open is not None
        before = self.n_stable.get(self.open, 0)
        now = self.n_stable[self.open] = min(len(WORDS), before + n_fresh)
        fresh = Transcript(tokens=said(now).tokens[before:])
        self.tell(Partial(utterance=self.open, stable=said(now), fresh=fresh, tentative=Transcript()))

    @precondition(lambda self: self.open is not None)
    @rule(by_commit=st.booleans())
    def hand_over(self, by_commit: bool) -> None:
        assert self.open is not None
        if not by_commit:
            self.tell(Stopped(utterance=self.open, at_s=2.0))
        self.tell(HandedOver(utterance=self.open, start_s=0.0, end_s=1.0))
        self.handed_over.append(self.open)
        self.n_committed += 1
        self.open = None

    @rule()
    def clear(self) -> None:
        committed = {event["item_id"] for event in self.sent if event["type"] == "input_audio_buffer.committed"}
        mentioned = {event["item_id"] for event in self.sent if "item_id" in event}
        self.forgotten |= mentioned - committed
        self.open = None
        (cleared,) = plain(self.protocol.did(Clear()))
        assert cleared["type"] == "input_audio_buffer.cleared"
        self.sent.append(cleared)

    @precondition(lambda self: self.handed_over)
    @rule(fails=st.booleans(), n_tokens=st.integers(0, len(WORDS)))
    def end(self, fails: bool, n_tokens: int) -> None:
        utterance = self.handed_over.pop(0)
        if fails:
            self.tell(Failed(utterance=utterance, failure=RecognitionError("no luck")))
        else:
            whole = max(n_tokens, self.n_stable.get(utterance, 0))
            self.texts.append(said(whole).text)
            self.tell(final(whole, whole - self.n_stable.get(utterance, 0), utterance=utterance))
        self.n_ended += 1

    @precondition(lambda self: self.open is None)
    @rule()
    def idle(self) -> None:
        self.n_utterances += 1
        self.tell(Idle(utterance=self.n_utterances, start_s=0.0, end_s=6.0))
        self.n_committed, self.n_ended = self.n_committed + 1, self.n_ended + 1
        self.texts.append("")

    @invariant()
    def every_event_has_an_id_of_its_own(self) -> None:
        ids = [event["event_id"] for event in self.sent]
        assert len(ids) == len(set(ids))

    @invariant()
    def what_is_told_whole_or_forgotten_is_not_kept(self) -> None:
        assert self.protocol.n_unfinished <= len(self.handed_over) + (self.open is not None)

    @invariant()
    def items_form_one_chain(self) -> None:
        chain: list[str | None] = [None]
        for event in self.sent:
            if event["type"] == "input_audio_buffer.committed":
                assert event["previous_item_id"] == chain[-1]
                assert event["item_id"] not in chain
                chain.append(event["item_id"])
            elif event["type"].startswith("conversation.item.") and "item" in event:
                assert (event["item"]["id"], event["previous_item_id"]) == (chain[-1], chain[-2])
        assert len(chain) == self.n_committed + 1

    @invariant()
    def every_item_is_told_in_order_and_ended_once(self) -> None:
        ranks = {
            "speech_started": 0,
            "timeout_triggered": 0,
            "delta": 1,
            "speech_stopped": 2,
            "committed": 3,
            "added": 4,
            "done": 5,
        }
        told_of: dict[str, list[str]] = {}
        for event in self.sent:
            if name := event.get("item_id") or event.get("item", {}).get("id"):
                told_of.setdefault(name, []).append(event["type"].rpartition(".")[2])
        for name, kinds in told_of.items():
            ends = [kind for kind in kinds if kind in ("completed", "failed")]
            assert len(ends) <= 1
            assert not ends or kinds[-1] == ends[0]
            once = [ranks[kind] for kind in kinds if kind in ranks and kind != "delta"]
            assert once == sorted(set(once))
            assert name not in self.forgotten or not {"committed", "completed", "failed"} & set(kinds)
        assert sum(kinds[-1] in ("completed", "failed") for kinds in told_of.values()) == self.n_ended

    @invariant()
    def deltas_are_the_transcript(self) -> None:
        deltas: dict[str, str] = {}
        completed = []
        for event in self.sent:
            if event["type"] == f"{TRANSCRIPT}.delta":
                assert event["delta"]
                deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["delta"]
            elif event["type"] == f"{TRANSCRIPT}.completed":
                assert deltas.get(event["item_id"], "") == event["transcript"]
                completed.append(event["transcript"])
        assert sorted(completed) == sorted(self.texts)


TestItems = Items.TestCase
