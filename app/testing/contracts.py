"""What every `Recognizer` must do, whoever wrote it: inherit the suite, and give pytest the fixtures it asks for."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from ..domain.audio import MODEL_RATE_HZ, Clip, silence
from ..domain.ports import Options, Recognizer, RecognizerFacts
from ..domain.transcript import Transcript

_SILENCES_S: Final = (1 / MODEL_RATE_HZ, 0.1, 1.0, 5.0)
_TINY_SAMPLES: Final = (1, 2, 100, 1_599)  # the last is one sample short of what the service lets through


class RecognizerContract:
    """The promises of the `Recognizer` port as tests.

    A subclass gives two fixtures: `recognizer`, and `spoken`, a clip of 1 to 20 seconds in which something is said that the
    recogniser understands. It may widen `recognizer` to the scope of a session, as no test changes it.
    """

    def test_a_spoken_clip_is_written_down(self, recognizer: Recognizer, spoken: Clip) -> None:
        (found,) = _recognized(recognizer, [spoken])
        assert found.text, "nothing was written"
        assert found.tokens[0].text.startswith(" "), "a word starts with a space, the first one too"
        assert "\N{LOWER ONE EIGHTH BLOCK}" not in found.text, "SentencePiece's mark for a space is not text"
        assert " ".join(word.text for word in found.words) == found.text

    def test_every_clip_gets_its_own_transcript_in_order(self, recognizer: Recognizer, spoken: Clip) -> None:
        (alone,) = _recognized(recognizer, [spoken])
        found = _recognized(recognizer, [silence(1.0), spoken, silence(3.0), spoken])
        assert [transcript.text for transcript in found] == ["", alone.text, "", alone.text]

    def test_neighbours_of_any_length_change_nothing(self, recognizer: Recognizer, spoken: Clip) -> None:
        half = Clip(spoken.samples[: spoken.samples.size // 2])
        longer = Clip(np.concatenate([spoken.samples, silence(4.0).samples]))
        clips = [half, spoken, silence(0.2), longer, Clip(spoken.samples[:1])]
        alone = [_recognized(recognizer, [clip])[0] for clip in clips]
        for batch in (clips, clips[:2], clips[::-1]):
            order = [clips.index(clip) for clip in batch]
            found = _recognized(recognizer, batch)
            assert [_said(transcript) for transcript in found] == [_said(alone[i]) for i in order]

    def test_silence_gives_no_token(self, recognizer: Recognizer) -> None:
        for duration_s in _SILENCES_S:
            assert _recognized(recognizer, [silence(duration_s)]) == [Transcript()], f"{duration_s} s alone"
        assert _recognized(recognizer, [silence(duration_s) for duration_s in _SILENCES_S]) == [Transcript()] * len(_SILENCES_S)

    def test_times_run_forward_inside_the_clip(self, recognizer: Recognizer, spoken: Clip) -> None:
        cut = Clip(spoken.samples[: spoken.samples.size * 2 // 3])
        for clip in (spoken, cut):
            for transcript in _recognized(recognizer, [clip, spoken])[:1]:
                _check_tokens(transcript, clip)

    def test_memory_is_told_of_devices_that_have_their_own(self, recognizer: Recognizer) -> None:
        memory = recognizer.device_memory()
        if memory is None:
            assert not recognizer.facts.device.startswith("cuda")
        else:
            assert 0 <= memory.reserved_bytes <= memory.total_bytes
            assert 0 < memory.used_bytes <= memory.total_bytes

    def test_the_shortest_clips_are_taken(self, recognizer: Recognizer, spoken: Clip) -> None:
        loud = int(np.abs(spoken.samples).argmax())
        tiny = [Clip(spoken.samples[loud : loud + n_samples]) for n_samples in _TINY_SAMPLES]
        for clip in tiny:
            _check_tokens(_recognized(recognizer, [clip])[0], clip)
        for clip, transcript in zip([*tiny, spoken], _recognized(recognizer, [*tiny, spoken]), strict=True):
            _check_tokens(transcript, clip)

    def test_samples_beyond_the_nominal_range_are_taken(self, recognizer: Recognizer, spoken: Clip) -> None:
        loud = Clip(spoken.samples * np.float32(50))
        _check_tokens(_recognized(recognizer, [loud])[0], loud)

    def test_clips_are_left_as_they_were(self, recognizer: Recognizer, spoken: Clip) -> None:
        before = spoken.samples.copy()
        _recognized(recognizer, [spoken, silence(0.5)])
        assert np.array_equal(spoken.samples, before)

    def test_transcripts_can_be_sent_to_another_machine(self, recognizer: Recognizer, spoken: Clip) -> None:
        for transcript in _recognized(recognizer, [spoken, silence(0.5)]):
            assert msgspec.json.decode(msgspec.json.encode(transcript), type=Transcript) == transcript

    def test_the_facts_can_be_planned_with(self, recognizer: Recognizer, spoken: Clip) -> None:
        facts = recognizer.facts
        assert all((facts.model_id, facts.device, facts.precision))
        assert facts.languages
        assert all(len(language) == 2 and language.islower() for language in facts.languages), "ISO 639-1"
        assert facts.longest_clip_s >= spoken.duration_s
        assert facts.batch_padded_s > 0
        assert facts.max_concurrent_batches >= 1 + facts.prepares_ahead
        assert recognizer.facts == facts, "facts of a loaded model stay"
        assert msgspec.json.decode(msgspec.json.encode(facts), type=RecognizerFacts) == facts

    def test_batches_that_run_at_a_time_change_nothing(self, recognizer: Recognizer, spoken: Clip) -> None:
        half = Clip(spoken.samples[: spoken.samples.size // 2])
        batches = [[spoken, half], [half], [silence(1.0), spoken]]
        alone = [[_said(found) for found in _recognized(recognizer, batch)] for batch in batches]
        with ThreadPoolExecutor(recognizer.facts.max_concurrent_batches) as owners:
            for found, expected in zip(owners.map(partial(_recognized, recognizer), batches * 3), alone * 3, strict=True):
                assert [_said(transcript) for transcript in found] == expected

    def test_the_configuration_is_plain_data(self, recognizer: Recognizer) -> None:
        configuration = recognizer.configuration()
        assert _is_plain(configuration), "mappings with text keys, lists and scalars, nothing else"
        json.dumps(dict(configuration), allow_nan=False)


def _recognized(recognizer: Recognizer, clips: Sequence[Clip]) -> list[Transcript]:
    found = recognizer.recognize(clips, [Options() for _ in clips])
    assert len(found) == len(clips), "one transcript for each clip"
    return found


def _said(transcript: Transcript) -> tuple[tuple[str, float, float], ...]:
    return tuple((token.text, token.start_s, token.end_s) for token in transcript.tokens)


def _check_tokens(transcript: Transcript, clip: Clip) -> None:
    starts = [token.start_s for token in transcript.tokens]
    ends = [token.end_s for token in transcript.tokens]
    assert starts == sorted(starts), "times run back"
    assert ends == sorted(ends), "times run back"
    for token in transcript.tokens:
        assert 0 <= token.start_s <= token.end_s <= clip.duration_s, token
        assert token.logprob <= 0, token


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(type(key) is str and _is_plain(inner) for key, inner in value.items())
    if type(value) in (list, tuple):
        return all(_is_plain(inner) for inner in value)
    return value is None or type(value) in (str, int, float, bool)
