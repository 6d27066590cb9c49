"""The recogniser on the bundled model. NeMo is imported, and the model restored, once for all of them (and once to compare)."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from app.adapters.nemo.decoding import Decoded, Decoder
from app.adapters.nemo.quiet import quiet
from app.adapters.nemo.recognizer import NemoRecognizer
from app.adapters.nemo.source import locate
from app.domain.audio import Clip, Samples, silence
from app.domain.errors import ModelUnavailableError
from app.domain.ports import Options
from app.domain.transcript import Transcript

from ..recordings import recordings

QUIET_PROBE = """
import sys
from {package}.adapters.nemo.recognizer import NemoRecognizer
from {package}.domain.audio import Clip
from {package}.domain.ports import Options
import numpy as np
recognizer = NemoRecognizer(sys.argv[1], device="cpu")
recognizer.recognize([Clip(np.full(16_000, 0.1, np.float32))], [Options()])
"""


@pytest.fixture(scope="module")
def recognizer() -> NemoRecognizer:
    return NemoRecognizer("bundled", device="cpu")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Six recordings of different lengths."""
    return [recording.clip for recording in recordings()[::4]]


@pytest.fixture(scope="module")
def alone(recognizer: NemoRecognizer, clips: list[Clip]) -> list[Transcript]:
    return [recognize(recognizer, [clip])[0] for clip in clips]


@pytest.fixture(scope="module")
def reference() -> Any:
    return as_nemo_restores_it()


def as_nemo_restores_it() -> Any:
    """The same file, nothing of ours changed but the dice and the padding."""
    with quiet():
        from nemo.collections.asr.models import EncDecRNNTBPEModel

        model = EncDecRNNTBPEModel.restore_from(str(locate("bundled").path), map_location="cpu").float().eval()
    model.preprocessor.featurizer.dither = 0.0
    model.preprocessor.featurizer.pad_to = 0
    return model


def recognize(recognizer: NemoRecognizer, clips: Sequence[Clip]) -> list[Transcript]:
    return recognizer.recognize(clips, [Options()] * len(clips))


def test_the_facts_say_what_was_loaded(recognizer: NemoRecognizer) -> None:
    facts = recognizer.facts
    assert (facts.model_id, facts.demonstration, facts.languages) == ("parakeet-tdt-demo", True, ("en",))
    assert (facts.device, facts.precision, facts.max_concurrent_batches) == ("cpu", "float32", 1)
    assert max(recording.duration_s for recording in recordings()) <= facts.longest_clip_s < 10, "single sentences"


def test_weights_kept_in_half_precision_compute_in_float32(recognizer: NemoRecognizer) -> None:
    with tarfile.open(locate("bundled").path) as archive:
        member = next(member for member in archive if member.name.endswith(".ckpt"))
        file = archive.extractfile(member)
        assert file is not None
        stored = torch.load(io.BytesIO(file.read()), weights_only=True)
    assert stored["joint.enc.weight"].dtype is torch.float16
    assert {parameter.dtype for parameter in recognizer._model.parameters()} == {torch.float32}


def test_the_configuration_is_plain_and_complete(recognizer: NemoRecognizer) -> None:
    configuration = recognizer.configuration()
    assert yaml.safe_load(yaml.safe_dump(dict(configuration))) == configuration
    assert configuration["preprocessor"]["sample_rate"] == 16_000


def test_something_is_heard(alone: list[Transcript]) -> None:
    assert all(transcript.text for transcript in alone)


def test_a_batch_changes_nothing_a_clip_says(recognizer: NemoRecognizer, clips: list[Clip], alone: list[Transcript]) -> None:
    together = recognize(recognizer, clips)
    assert [transcript.text for transcript in together] == [transcript.text for transcript in alone]
    for found, expected in zip(together, alone, strict=True):
        # Durations too: NeMo's own `token_duration` would differ here.
        times = [(token.id, token.start_s, token.end_s) for token in found.tokens]
        assert times == [(token.id, token.start_s, token.end_s) for token in expected.tokens]
        ours = [token.logprob for token in found.tokens]
        assert ours == pytest.approx([token.logprob for token in expected.tokens], abs=1e-3)


def test_times_run_forward_within_the_clip(clips: list[Clip], alone: list[Transcript]) -> None:
    for clip, transcript in zip(clips, alone, strict=True):
        assert all(0 <= token.start_s <= token.end_s <= clip.duration_s for token in transcript.tokens)
        assert all(a.start_s <= b.start_s and a.end_s <= b.end_s for a, b in pairwise(transcript.tokens))
        assert transcript.tokens[-1].end_s > transcript.tokens[0].start_s


def test_a_clip_cut_inside_a_word_keeps_times_within_itself(recognizer: NemoRecognizer, clips: list[Clip]) -> None:
    cuts = [Clip(clips[0].samples[:n]) for n in (16_001, 20_479, 24_111)]
    for clip, transcript in zip(cuts, recognize(recognizer, cuts), strict=True):
        assert all(token.end_s <= clip.duration_s for token in transcript.tokens)


@pytest.mark.parametrize("n_samples", [1, 2, 159, 160, 161, 400, 1_279, 1_600])
def test_very_short_clips_are_answered(recognizer: NemoRecognizer, n_samples: int) -> None:
    noise = Clip(np.random.default_rng(1).normal(0, 0.1, n_samples).astype(np.float32))
    (transcript,) = recognize(recognizer, [noise])
    assert all(token.end_s <= noise.duration_s for token in transcript.tokens)


def test_digital_silence_gives_no_token_beside_speech(
    recognizer: NemoRecognizer, clips: list[Clip], alone: list[Transcript]
) -> None:
    quiet_one, spoken, another = recognize(recognizer, [silence(3.0), clips[0], silence(0.01)])
    assert quiet_one.tokens == another.tokens == ()
    assert spoken.text == alone[0].text


def test_confidence_is_the_softmax_probability_of_the_piece(reference: Any, clips: list[Clip], alone: list[Transcript]) -> None:
    tokens = alone[0].tokens
    expected = probabilities_by_hand(
        reference, clips[0].samples, [token.id for token in tokens], [token.start_s for token in tokens]
    )
    assert [token.logprob for token in tokens] == pytest.approx(np.log(expected).tolist(), abs=1e-3)


def probabilities_by_hand(model: Any, samples: Samples, ids: list[int], starts_s: list[float]) -> Samples:
    """Run the joint once at each token's frame, after the tokens before it: float32, shape (n_tokens,)."""
    with torch.inference_mode():
        features, lengths = model.preprocessor(input_signal=torch.from_numpy(samples)[None], length=torch.tensor([samples.size]))
        encoded, _ = model.encoder(audio_signal=features, length=lengths)
        history = torch.tensor([[model.decoding.blank_id, *ids[:-1]]])
        predicted, _ = model.decoder.predict(history, None, add_sos=False)
        found = []
        for i, (token, start_s) in enumerate(zip(ids, starts_s, strict=True)):
            frame = encoded[:, :, round(start_s * 12.5)].unsqueeze(1)
            scores = model.joint.joint(frame, predicted[:, i : i + 1])[0, 0, 0, : model.decoding.blank_id + 1]
            found.append(float(scores.softmax(-1)[token]))
    return np.array(found, np.float32)


def test_a_keyword_steers_its_own_clip_and_leaves_its_neighbours_to_the_letter(
    recognizer: NemoRecognizer, clips: list[Clip], alone: list[Transcript]
) -> None:
    """Keywords taken from the other clips' texts: some of them pull the clip they are given to."""
    plain = recognize(recognizer, clips)
    keywords = tuple(
        dict.fromkeys(word.text.strip(".,?!") for transcript in alone for word in transcript.words if len(word.text) > 4)
    )
    changed = 0
    for i in range(len(clips)):
        asked = [Options(keywords=keywords if beside == i else ()) for beside in range(len(clips))]
        steered = recognizer.recognize(clips, asked)
        assert [*steered[:i], *steered[i + 1 :]] == [*plain[:i], *plain[i + 1 :]]
        changed += steered[i].text != plain[i].text
    assert changed > 0
    assert recognize(recognizer, clips) == plain  # nothing stays behind


def test_clips_of_a_batch_have_keywords_of_their_own(recognizer: NemoRecognizer, clips: list[Clip]) -> None:
    asked = [Options(keywords=(word,)) if word else Options() for word in ("Zebra", "", "Mountain", "Zebra", "", "Telephone")]
    together = recognizer.recognize(clips, asked)
    assert [transcript.text for transcript in together] == [
        recognizer.recognize([clip], [options])[0].text for clip, options in zip(clips, asked, strict=True)
    ]


def test_a_steered_piece_has_the_probability_the_model_itself_gave_it(reference: Any, clips: list[Clip]) -> None:
    """Of the whole steered text, before its keywords are picked out."""
    model, samples = as_nemo_restores_it(), clips[0].samples
    decoder = Decoder(model)
    with torch.inference_mode():
        features, n_features = model.preprocessor(input_signal=torch.from_numpy(samples)[None], length=torch.tensor([samples.size]))
        encoded, n_frames = model.encoder(audio_signal=features, length=n_features)
    (found,) = decoder.decoded(encoded, n_frames, [("Zebra", "Mountain", "Telephone", "because", "another")])
    steered, plain = (
        decoder.transcript(Decoded(hypothesis), duration_s=clips[0].duration_s) for hypothesis in (found.steered, found.plain)
    )
    assert steered.text != plain.text
    tokens = steered.tokens
    expected = probabilities_by_hand(reference, samples, [token.id for token in tokens], [token.start_s for token in tokens])
    assert [token.logprob for token in tokens] == pytest.approx(np.log(expected).tolist(), abs=1e-3)


@pytest.mark.parametrize("keyword", ["Ω≈ç√", "\N{SNOWMAN}", "...", "a" * 100])
def test_a_keyword_the_model_cannot_write_harms_nothing(
    recognizer: NemoRecognizer, clips: list[Clip], alone: list[Transcript], keyword: str
) -> None:
    (transcript,) = recognizer.recognize(clips[:1], [Options(keywords=(keyword,))])
    assert keyword not in transcript.text
    assert transcript.text.split()[:1] == alone[0].text.split()[:1]


def test_a_batch_that_fails_for_its_keywords_leaves_none_of_them_in_the_decoder(
    recognizer: NemoRecognizer, clips: list[Clip]
) -> None:
    with pytest.raises(RuntimeError):
        recognizer.recognize(clips[:2], [Options(keywords=("kitchen",)), Options(keywords=("\ud800",))])
    trees = recognizer._decoder._steered._computer.biasing_multi_model
    assert trees.num_models == len(trees.free_ids)


def test_log_probabilities_are_finite_and_at_most_zero(alone: list[Transcript]) -> None:
    logprobs = [token.logprob for transcript in alone for token in transcript.tokens]
    assert np.isfinite(logprobs).all()
    assert -24 < min(logprobs) < max(logprobs) <= 0


def test_the_text_is_what_nemo_itself_writes(reference: Any, clips: list[Clip], alone: list[Transcript]) -> None:
    # Last of those that use `reference`: transcribe() leaves its modules in train mode.
    with quiet():
        written = reference.transcribe([clip.samples for clip in clips], batch_size=1, verbose=False)
    assert [transcript.text for transcript in alone] == [hypothesis.text.strip() for hypothesis in written]


def test_a_path_loads_under_its_own_name_and_in_bfloat16_if_asked(clips: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "mine.nemo"
    path.symlink_to(locate("bundled").path)
    heard: dict[str, Any] = {}
    mine = NemoRecognizer(
        str(path), device="cpu", precision="bfloat16", on_progress=lambda event, **facts: heard.update({event: facts})
    )
    assert (mine.facts.model_id, mine.facts.demonstration, mine.facts.precision) == ("mine", False, "bfloat16")
    assert heard["model_loaded"]["cuda_graphs"] == "off"
    (transcript,) = recognize(mine, clips[:1])
    assert transcript.text  # bfloat16 may write another word here and there


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_an_error(device: str) -> None:
    with pytest.raises(ModelUnavailableError, match="CUDA"):
        NemoRecognizer("bundled", device=device)


@pytest.mark.parametrize("asked", [{"device": "tpu"}, {"precision": "int3"}, {"device": "cpu", "precision": "float16"}])
def test_what_cannot_be_had_is_an_error(asked: dict[str, str]) -> None:
    with pytest.raises(ModelUnavailableError, match="STT_"):
        NemoRecognizer("bundled", **asked)  # type: ignore[arg-type]  # only strings are given


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.nemo"
    path.write_text("not a model")
    with pytest.raises(ModelUnavailableError, match="tar archive"):
        NemoRecognizer(str(path), device="cpu")


def test_an_archive_that_is_no_model_is_refused_with_what_was_wrong_in_it(tmp_path: Path) -> None:
    path = tmp_path / "letters.nemo"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("readme.txt"))
    with pytest.raises(ModelUnavailableError, match=r"letters\.nemo cannot be restored .*\(\w+Error: .*model_config\.yaml"):
        NemoRecognizer(str(path), device="cpu")


def test_start_up_prints_nothing() -> None:
    package = NemoRecognizer.__module__.partition(".")[0]
    ended = subprocess.run(
        [sys.executable, "-c", QUIET_PROBE.format(package=package), str(locate("bundled").path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
