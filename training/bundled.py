"""Make the bundled model: gather text, have it spoken, train, evaluate, write the .nemo and its card.

Every stage keeps its work in `--work` and is skipped or resumed when run again. Needs the Debian packages
espeak-ng, flite, festival, festvox-kallpc16k, festvox-kdlpc16k, festvox-us-slt-hts, fortunes, fortunes-min
and wamerican-small, and the `dev` dependencies.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from .architecture import BUNDLED_SHAPE, learn_pieces, new_model
from .evaluate import evaluate, write_card
from .model import quiet_nemo, restore, write_half
from .speech import build, load
from .text import gather
from .train import Plan, Trainer
from .voices import TRAINING_VOICES

BUNDLED: Final = Path(__file__).parent.parent / "app" / "adapters" / "nemo" / "bundled" / "parakeet-tdt-demo.nemo"
SENTENCES: Final = {"prose": 11_000, "docstrings": 5_000, "everyday": 13_000, "random_words": 9_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"), help="where text, speech and checkpoints are kept")
    parser.add_argument("--hours", type=float, default=220.0, help="hours of speech to hear in training, repeats counted")
    parser.add_argument("--from", dest="start", type=Path, help="a .nemo to go on from instead of random weights")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=BUNDLED)
    parser.add_argument("--stage", choices=("all", "speech", "train", "evaluate"), default="all", help="do one stage alone")
    arguments = parser.parse_args()
    say = Console(stderr=True).print
    stage, work, seed = arguments.stage, arguments.work, arguments.seed
    work.mkdir(parents=True, exist_ok=True)

    sentences = work / "sentences.json"
    if not sentences.exists():
        say("gathering text")
        sentences.write_text(json.dumps([(sentence.text, sentence.kind) for sentence in gather(seed, **SENTENCES)]))
    kinds: dict[str, str] = dict(json.loads(sentences.read_text()))
    texts = list(kinds)
    if stage in ("all", "speech"):
        say(f"{len(texts):,} sentences; synthesising speech")
        build(texts, TRAINING_VOICES, work / "speech", seed=seed)

    quiet_nemo()
    torch.manual_seed(seed)
    random.seed(seed)
    pieces = learn_pieces(texts, work / "pieces", BUNDLED_SHAPE.pieces)
    if stage in ("all", "train"):
        model = restore(arguments.start) if arguments.start else new_model(BUNDLED_SHAPE, pieces)
        everyday = frozenset(text for text, kind in kinds.items() if kind == "everyday")
        Trainer(model, Plan(hours=arguments.hours, seed=seed, often=everyday), work / "speech", work / "checkpoint.pt").run()
    if stage in ("all", "train", "evaluate"):
        checkpoint = torch.load(work / "checkpoint.pt", weights_only=True)
        model = restore(arguments.start) if arguments.start else new_model(BUNDLED_SHAPE, pieces)
        model.load_state_dict(checkpoint["model"])
        write_half(checkpoint["model"], model, arguments.out)
        heard_hours = checkpoint["heard_s"] / 3600
        say(f"wrote {arguments.out} ({arguments.out.stat().st_size / 1e6:.1f} MB) after {heard_hours:.0f} h of speech; evaluating")
        scores = evaluate(restore(arguments.out), work / "evaluation")
        write_card(arguments.out.with_suffix(".md"), scores, clips=len(load(work / "speech")), heard_hours=heard_hours)
        for score in scores:
            say(score.line())


if __name__ == "__main__":
    main()
