"""Every target on its seeds and on what fuzzing has found; `just fuzz` goes on from there."""

from pathlib import Path

import pytest

from .targets import TARGETS

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("name", TARGETS)
def test_promises_hold_for_seeds(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in (b"", *seeds):
        TARGETS[name].run(seed)


@pytest.mark.parametrize("case", sorted(CASES.glob("*/*")), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_promises_hold_for_what_was_found(case: Path) -> None:
    TARGETS[case.parent.name].run(case.read_bytes())
