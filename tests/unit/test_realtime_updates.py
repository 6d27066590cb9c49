"""What a realtime session may be set to: every merge, every refusal with the member it names, and what follows for the ear."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ports import Options
from app.domain.voice_activity import SpanRules
from app.entrypoints.http.parameters import LONGEST_KEYWORD, MOST_KEYWORDS
from app.entrypoints.websocket.realtime_session import (
    LONGEST_PROMPT,
    SILENCE_MS,
    SessionConfig,
    beta_session_object,
    live_rules,
    session_object,
    sound_of,
)
from app.entrypoints.websocket.realtime_updates import (
    RefusedEventError,
    Served,
    first_config,
    updated_by_beta,
    updated_config,
)

SERVED: Final = Served(names=("nvidia/parakeet", "parakeet", "whisper-1"), languages=("en",))
SERVER_VAD: Final = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
TRANSCRIPTION: Final = {
    "model": "nvidia/parakeet",
    "language": None,
    "languages": None,
    "keywords": None,
    "prompt": None,
    "delay": None,
}
FIRST: Final[dict[str, Any]] = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": TRANSCRIPTION,
            "noise_reduction": None,
            "turn_detection": SERVER_VAD,
        }
    },
    "include": None,
}
LOGPROBS: Final = "item.input_audio_transcription.logprobs"
BETA_OF: Final = {
    "transcription": "input_audio_transcription",
    "turn_detection": "turn_detection",
    "noise_reduction": "input_audio_noise_reduction",
}


def told(config: SessionConfig) -> dict[str, Any]:
    """The session as it is told, but for what is not chosen."""
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(session_object(config, session_id="sess_1", expires_unix_s=7)))
    assert (whole.pop("id"), whole.pop("object"), whole.pop("expires_at")) == ("sess_1", "realtime.transcription_session", 7)
    return whole


def told_in_beta(config: SessionConfig) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(beta_session_object(config, session_id="sess_1", expires_unix_s=7))
    )
    return found


def inputs(**members: Any) -> dict[str, Any]:
    return {"audio": {"input": members}}


def after(*updates: Mapping[str, Any]) -> SessionConfig:
    config = first_config(SERVED)
    for update in updates:
        config = updated_config(config, update, SERVED)
    return config


def heard_input(*updates: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = told(after(*updates))["audio"]["input"]
    return found


# Merging


def test_the_first_config_is_whole() -> None:
    assert told(first_config(SERVED)) == FIRST


def test_an_empty_update_changes_nothing() -> None:
    nothing = inputs(turn_detection={}, transcription={}, format={})
    updates: list[dict[str, Any]] = [{}, {"type": "transcription"}, {"audio": {}}, inputs(), nothing]
    for update in updates:
        assert told(after(update)) == FIRST


@pytest.mark.parametrize(
    ("members", "changed"),
    [
        ({"format": {"rate": 16_000}}, {"format": {"type": "audio/pcm", "rate": 16_000}}),
        ({"format": {"type": "audio/pcm", "rate": 48_000}}, {"format": {"type": "audio/pcm", "rate": 48_000}}),
        ({"format": {"type": "audio/pcmu"}}, {"format": {"type": "audio/pcmu", "rate": 8_000}}),
        ({"format": {"type": "audio/pcma", "rate": 8_000}}, {"format": {"type": "audio/pcma", "rate": 8_000}}),
        ({"transcription": {"model": "whisper-1"}}, {"transcription": {**TRANSCRIPTION, "model": "whisper-1"}}),
        ({"transcription": {"model": ""}}, {"transcription": TRANSCRIPTION}),
        (
            {"transcription": {"model": "gpt-realtime-whisper"}},
            {"transcription": {**TRANSCRIPTION, "model": "gpt-realtime-whisper"}},
        ),
        ({"transcription": {"language": "en-GB"}}, {"transcription": {**TRANSCRIPTION, "language": "en-GB"}}),
        ({"transcription": {"language": "", "prompt": ""}}, {"transcription": TRANSCRIPTION}),
        ({"transcription": {"languages": ["de", "en"]}}, {"transcription": {**TRANSCRIPTION, "languages": ["de", "en"]}}),
        ({"transcription": {"languages": []}}, {"transcription": TRANSCRIPTION}),
        ({"transcription": {"keywords": [" a  b", "a b", ""]}}, {"transcription": {**TRANSCRIPTION, "keywords": ["a b"]}}),
        ({"transcription": {"prompt": "Hi."}}, {"transcription": {**TRANSCRIPTION, "prompt": "Hi."}}),
        ({"transcription": {"delay": "xhigh"}}, {"transcription": {**TRANSCRIPTION, "delay": "xhigh"}}),
        ({"transcription": None}, {"transcription": None}),
        ({"noise_reduction": {"type": "far_field"}}, {"noise_reduction": {"type": "far_field", "strength": None}}),
        ({"noise_reduction": {"type": "near_field", "strength": 2}}, {"noise_reduction": {"type": "near_field", "strength": 2}}),
        ({"turn_detection": None}, {"turn_detection": None}),
        ({"turn_detection": {"threshold": 0}}, {"turn_detection": {**SERVER_VAD, "threshold": 0}}),
        (
            {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 0, "silence_duration_ms": 10_000}},
            {"turn_detection": {**SERVER_VAD, "prefix_padding_ms": 0, "silence_duration_ms": 10_000}},
        ),
        ({"turn_detection": {"idle_timeout_ms": 5_000}}, {"turn_detection": {**SERVER_VAD, "idle_timeout_ms": 5_000}}),
        (
            {"turn_detection": {"create_response": False, "interrupt_response": False}},
            {"turn_detection": {**SERVER_VAD, "create_response": False, "interrupt_response": False}},
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}},
            {
                "turn_detection": {
                    "type": "semantic_vad",
                    "eagerness": "low",
                    "create_response": True,
                    "interrupt_response": True,
                }
            },
        ),
    ],
)
def test_an_update_changes_what_it_has_and_nothing_else(members: dict[str, Any], changed: dict[str, Any]) -> None:
    whole = inputs(**{**FIRST["audio"]["input"], **changed})
    assert told(after(inputs(**members))) == {**FIRST, **whole}


def test_members_of_earlier_updates_stay() -> None:
    found = heard_input(
        inputs(turn_detection={"threshold": 0.7}, transcription={"language": "en"}),
        inputs(turn_detection={"type": "server_vad", "silence_duration_ms": 600}, transcription={"keywords": ["Parakeet"]}),
    )
    assert found["turn_detection"] == {**SERVER_VAD, "threshold": 0.7, "silence_duration_ms": 600}
    assert found["transcription"] == {**TRANSCRIPTION, "language": "en", "keywords": ["Parakeet"]}


def test_null_brings_the_default_back_where_nothing_is_off() -> None:
    changed = inputs(
        turn_detection={"threshold": 0.7, "idle_timeout_ms": 6_000},
        transcription={"model": "whisper-1", "prompt": "Hi."},
        format={"type": "audio/pcmu"},
    )
    found = heard_input(
        changed,
        inputs(
            turn_detection={"threshold": None, "idle_timeout_ms": None},
            transcription={"model": None, "prompt": None},
            format=None,
        ),
    )
    assert found == FIRST["audio"]["input"]


def test_another_type_begins_with_its_own_defaults() -> None:
    one = inputs(turn_detection={"threshold": 0.9})
    other = inputs(turn_detection={"type": "semantic_vad"})
    assert heard_input(one, other)["turn_detection"]["eagerness"] == "auto"
    assert heard_input(one, other, inputs(turn_detection={"type": "server_vad"}))["turn_detection"] == SERVER_VAD
    assert heard_input(inputs(format={"rate": 8_000}), inputs(format={"type": "audio/pcma"}), inputs(format={"type": "audio/pcm"}))[
        "format"
    ] == {"type": "audio/pcm", "rate": 24_000}


def test_what_is_off_is_switched_on_with_its_defaults() -> None:
    off = inputs(turn_detection=None, transcription=None, noise_reduction=None)
    found = heard_input(off, inputs(turn_detection={"threshold": 0.3}, transcription={"language": "en"}, noise_reduction={}))
    assert found["turn_detection"] == {**SERVER_VAD, "threshold": 0.3}
    assert found["transcription"] == {**TRANSCRIPTION, "language": "en"}
    assert found["noise_reduction"] == {"type": None, "strength": None}


def test_an_update_leaves_the_config_it_began_with_alone() -> None:
    before = first_config(SERVED)
    updated_config(before, inputs(turn_detection=None), SERVED)
    assert told(before) == FIRST


def test_a_session_as_it_is_told_is_an_update_that_changes_nothing() -> None:
    config = after(
        inputs(
            format={"type": "audio/pcma"},
            transcription={"keywords": ["a"], "language": "en"},
            turn_detection={"type": "semantic_vad"},
        ),
        {"include": [LOGPROBS]},
    )
    assert updated_config(config, told(config), SERVED) == config


SETTABLE: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "format": st.sampled_from([{"type": "audio/pcmu"}, {"type": "audio/pcm"}, {"rate": 8_000}, None]),
    "transcription": st.sampled_from([None, {"language": "en"}, {"language": None}, {"model": "whisper-1"}, {"keywords": ["a"]}]),
    "noise_reduction": st.sampled_from([None, {"type": "far_field"}, {"strength": 1.5}]),
    "turn_detection": st.sampled_from(
        [
            None,
            {"threshold": 0.2},
            {"type": "semantic_vad"},
            {"type": "server_vad"},
            {"type": "server_vad", "idle_timeout_ms": 9_000},
        ]
    ),
}


@given(updates=st.lists(st.fixed_dictionaries({}, optional=dict(SETTABLE)), max_size=6))
def test_an_update_touches_only_the_members_it_has(updates: list[dict[str, Any]]) -> None:
    config = first_config(SERVED)
    for members in updates:
        before = told(config)["audio"]["input"]
        config = updated_config_or_same(config, inputs(**members))
        now = told(config)["audio"]["input"]
        assert {name: now[name] for name in now if name not in members} == {
            name: before[name] for name in before if name not in members
        }
        live_rules(config, longest_s=30.0)


def updated_config_or_same(config: SessionConfig, update: Mapping[str, Any]) -> SessionConfig:
    try:
        return updated_config(config, update, SERVED)
    except RefusedEventError as refusal:
        if refusal.code != "unknown_parameter":  # of a member that the present type does not have
            raise
        return config


# Refusals


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"format": {"rate": 7_999}}, "format.rate"),
        ({"format": {"rate": 48_001}}, "format.rate"),
        ({"format": {"rate": "24000"}}, "format.rate"),
        ({"format": {"type": "audio/pcmu", "rate": 16_000}}, "format.rate"),
        ({"format": {"type": "audio/opus"}}, "format.type"),
        ({"format": {"type": 5}}, "format.type"),
        ({"format": "pcm16"}, "format"),
        ({"transcription": "whisper-1"}, "transcription"),
        ({"transcription": {"model": 5}}, "transcription.model"),
        ({"transcription": {"language": "de"}}, "transcription.language"),
        ({"transcription": {"languages": ["de", "fr"]}}, "transcription.languages"),
        ({"transcription": {"languages": "en"}}, "transcription.languages"),
        ({"transcription": {"keywords": ["a"] * 2 + [str(i) for i in range(MOST_KEYWORDS)]}}, "transcription.keywords"),
        ({"transcription": {"keywords": ["a" * (LONGEST_KEYWORD + 1)]}}, "transcription.keywords"),
        ({"transcription": {"keywords": [1]}}, "transcription.keywords"),
        ({"transcription": {"prompt": "a" * (LONGEST_PROMPT + 1)}}, "transcription.prompt"),
        ({"transcription": {"delay": "none"}}, "transcription.delay"),
        ({"noise_reduction": {"type": "mid_field"}}, "noise_reduction.type"),
        ({"noise_reduction": {"strength": -1}}, "noise_reduction.strength"),
        ({"noise_reduction": []}, "noise_reduction"),
        ({"turn_detection": "server_vad"}, "turn_detection"),
        ({"turn_detection": {"type": "none"}}, "turn_detection.type"),
        ({"turn_detection": {"threshold": 1.1}}, "turn_detection.threshold"),
        ({"turn_detection": {"threshold": -0.1}}, "turn_detection.threshold"),
        ({"turn_detection": {"threshold": "0.5"}}, "turn_detection.threshold"),
        ({"turn_detection": {"prefix_padding_ms": -1}}, "turn_detection.prefix_padding_ms"),
        ({"turn_detection": {"prefix_padding_ms": 2_001}}, "turn_detection.prefix_padding_ms"),
        ({"turn_detection": {"silence_duration_ms": 10_001}}, "turn_detection.silence_duration_ms"),
        ({"turn_detection": {"idle_timeout_ms": 4_999}}, "turn_detection.idle_timeout_ms"),
        ({"turn_detection": {"idle_timeout_ms": 30_001}}, "turn_detection.idle_timeout_ms"),
        ({"turn_detection": {"create_response": "yes"}}, "turn_detection.create_response"),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": "eager"}}, "turn_detection.eagerness"),
    ],
)
def test_a_wrong_value_is_named_in_both_dialects(members: dict[str, Any], place: str) -> None:
    with pytest.raises(RefusedEventError) as refusal:
        after(inputs(**members))
    assert (refusal.value.code, refusal.value.param) == ("invalid_value", f"session.audio.input.{place}")
    assert f"`session.audio.input.{place}" in str(refusal.value) or "language" in place
    (name, value), *_ = members.items()
    if name in BETA_OF:
        with pytest.raises(RefusedEventError) as refusal:
            updated_by_beta(first_config(SERVED), {BETA_OF[name]: value}, SERVED)
        beta_place = place.replace(name, BETA_OF[name], 1)
        assert (refusal.value.code, refusal.value.param) == ("invalid_value", f"session.{beta_place}")
        assert "audio.input" not in str(refusal.value)


@pytest.mark.parametrize(
    ("update", "param"),
    [
        (None, "session"),
        ([], "session"),
        ("whisper-1", "session"),
        ({"type": "realtime"}, "session.type"),
        ({"audio": []}, "session.audio"),
        ({"audio": {"input": 5}}, "session.audio.input"),
        ({"include": ["text"]}, "session.include"),
        ({"include": LOGPROBS}, "session.include"),
    ],
)
def test_a_wrong_session_is_named(update: object, param: str) -> None:
    with pytest.raises(RefusedEventError) as refusal:
        updated_config(first_config(SERVED), update, SERVED)
    assert (refusal.value.code, refusal.value.param) == ("invalid_value", param)


@pytest.mark.parametrize(
    ("update", "param"),
    [
        ({"instructions": "Be nice."}, "session.instructions"),
        ({"instructions": None}, "session.instructions"),
        ({"input_audio_format": "pcm16"}, "session.input_audio_format"),
        ({"audio": {"output": {}}}, "session.audio.output"),
        (inputs(enabled=True), "session.audio.input.enabled"),
        (inputs(transcription={"temperature": 0}), "session.audio.input.transcription.temperature"),
        (inputs(turn_detection={"eagerness": "low"}), "session.audio.input.turn_detection.eagerness"),
        (inputs(turn_detection={"type": "semantic_vad", "threshold": 0.5}), "session.audio.input.turn_detection.threshold"),
        (inputs(format={"channels": 1}), "session.audio.input.format.channels"),
    ],
)
def test_an_unknown_member_is_named(update: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusedEventError) as refusal:
        after(update)
    assert (refusal.value.code, refusal.value.param) == ("unknown_parameter", param)


def test_a_long_unknown_member_is_not_told_whole() -> None:
    with pytest.raises(RefusedEventError) as refusal:
        after({"a" * 10_000: 1})
    assert len(str(refusal.value)) < 300


def test_another_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(RefusedEventError) as refusal:
        after(inputs(transcription={"model": "canary"}))
    assert (refusal.value.code, refusal.value.param) == ("model_not_found", "session.audio.input.transcription.model")
    assert all(name in str(refusal.value) for name in SERVED.names)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("nvidia/parakeet", True),
        ("whisper-1", True),
        ("gpt-realtime", True),
        ("gpt-realtime-2", True),
        ("gpt-realtime-mini", True),
        ("gpt-4o-realtime-preview-2024-12-17", True),
        ("gpt-4o-mini-realtime-preview", True),
        ("gpt-realtime-whisper", True),
        ("gpt-live-transcribe", True),
        ("gpt-4o", False),
        ("gpt-real", False),
        ("my-gpt-realtime", False),
        ("gpt-realtime\n", False),
        ("", False),
    ],
)
def test_names_of_the_hosted_api_s_realtime_models_are_aliases(name: str, offered: bool) -> None:
    assert SERVED.offers(name) == offered


def test_a_model_asked_for_at_the_handshake_is_listed_if_it_transcribes() -> None:
    assert told(first_config(SERVED, "whisper-1"))["audio"]["input"]["transcription"]["model"] == "whisper-1"
    assert told(first_config(SERVED, "gpt-realtime"))["audio"]["input"]["transcription"]["model"] == "nvidia/parakeet"


# The beta's dialect


def test_the_beta_tells_the_same_by_its_own_names() -> None:
    assert told_in_beta(first_config(SERVED)) == {
        "id": "sess_1",
        "object": "realtime.transcription_session",
        "expires_at": 7,
        "input_audio_format": "pcm16",
        "input_audio_transcription": TRANSCRIPTION,
        "turn_detection": SERVER_VAD,
        "input_audio_noise_reduction": None,
        "include": None,
        "client_secret": None,
    }


def test_an_update_of_the_beta_changes_the_same() -> None:
    beta = updated_by_beta(
        first_config(SERVED),
        {
            "input_audio_format": "g711_alaw",
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 350},
            "input_audio_noise_reduction": {"type": "near_field"},
            "include": [LOGPROBS],
            "modalities": ["text"],
            "client_secret": {"expires_at": {"seconds": 60}},
        },
        SERVED,
    )
    assert beta == after(
        inputs(
            format={"type": "audio/pcma"},
            transcription={"model": "whisper-1", "language": "en"},
            turn_detection={"silence_duration_ms": 350},
            noise_reduction={"type": "near_field"},
        ),
        {"include": [LOGPROBS]},
    )
    assert told_in_beta(beta)["input_audio_format"] == "g711_alaw"
    assert updated_by_beta(beta, {}, SERVED) == beta
    off = updated_by_beta(beta, {"turn_detection": None, "input_audio_transcription": None, "include": None}, SERVED)
    assert (off.input.turn_detection, off.input.transcription, off.include) == (None, None, None)


def test_the_beta_s_pcm_has_24_khz_and_null_is_pcm() -> None:
    fast = after(inputs(format={"rate": 48_000}))
    for name in ("pcm16", None):
        assert sound_of(updated_by_beta(fast, {"input_audio_format": name}, SERVED)) == ("pcm_s16le", 24_000)


@pytest.mark.parametrize(
    ("update", "code", "param"),
    [
        ([], "invalid_value", "session"),
        ({"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format"),
        ({"input_audio_format": {"type": "audio/pcm"}}, "invalid_value", "session.input_audio_format"),
        ({"audio": {}}, "unknown_parameter", "session.audio"),
        ({"input_audio_transcription": {"enabled": True}}, "unknown_parameter", "session.input_audio_transcription.enabled"),
        ({"input_audio_transcription": {"model": "x"}}, "model_not_found", "session.input_audio_transcription.model"),
        ({"include": ["x"]}, "invalid_value", "session.include"),
    ],
)
def test_what_the_beta_may_not_have_is_named_as_it_was_sent(update: object, code: str, param: str) -> None:
    with pytest.raises(RefusedEventError) as refusal:
        updated_by_beta(first_config(SERVED), update, SERVED)
    assert (refusal.value.code, refusal.value.param) == (code, param)


# What follows


def test_turn_detection_becomes_rules() -> None:
    vad = {"threshold": 0.25, "prefix_padding_ms": 500, "silence_duration_ms": 700, "idle_timeout_ms": 6_000}
    rules = live_rules(after(inputs(turn_detection=vad, transcription={"keywords": ["Parakeet"]})), longest_s=12.0)
    assert rules.spans == SpanRules(threshold=0.25, least_silence_s=0.7, pad_before_s=0.5)
    assert (rules.idle_s, rules.longest_s, rules.partials) == (6.0, 12.0, True)
    assert rules.options == Options(keywords=("Parakeet",))


def test_by_default_200_ms_of_silence_end_an_utterance() -> None:
    rules = live_rules(first_config(SERVED), longest_s=30.0)
    assert rules.spans == SpanRules(threshold=0.5, least_silence_s=0.2, pad_before_s=0.3)
    assert rules.idle_s is None


@pytest.mark.parametrize(("eagerness", "silence_s"), [("low", 0.8), ("medium", 0.5), ("high", 0.3), ("auto", 0.5)])
def test_eagerness_chooses_how_much_silence_ends_an_utterance(eagerness: str, silence_s: float) -> None:
    config = after(inputs(turn_detection={"type": "semantic_vad", "eagerness": eagerness}))
    assert live_rules(config, longest_s=30.0).spans == SpanRules(least_silence_s=silence_s, pad_before_s=0.3)
    assert SILENCE_MS[eagerness] == 1000 * silence_s


def test_without_turn_detection_only_a_commit_ends_an_utterance() -> None:
    rules = live_rules(after(inputs(turn_detection=None)), longest_s=30.0)
    assert (rules.spans, rules.idle_s) == (None, None)


def test_without_transcription_there_are_no_partials() -> None:
    assert not live_rules(after(inputs(transcription=None)), longest_s=30.0).partials


@pytest.mark.parametrize(
    ("sent", "sound"),
    [
        ({}, ("pcm_s16le", 24_000)),
        ({"rate": 8_000}, ("pcm_s16le", 8_000)),
        ({"type": "audio/pcmu"}, ("g711_ulaw", 8_000)),
        ({"type": "audio/pcma"}, ("g711_alaw", 8_000)),
    ],
)
def test_a_format_is_an_encoding_at_a_rate(sent: dict[str, Any], sound: tuple[str, int]) -> None:
    assert sound_of(after(inputs(format=sent))) == sound
