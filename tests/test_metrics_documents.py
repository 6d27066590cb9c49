"""What is written about metrics, against the registry: the table in the docs."""

import re
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.core import Metric

from app.container import Container
from app.entrypoints.metrics.registry import Metrics
from app.settings import Settings

ROOT: Final = Path(__file__).parents[1]
_SUFFIXES: Final = {"counter": "_total", "info": "_info"}


@pytest.fixture(scope="module")
def families() -> dict[str, Metric]:
    """Every family by the name that queries use."""
    metrics = Metrics(Container(settings=Settings()).engine(), n_live=lambda: 0)
    return {family.name + _SUFFIXES.get(family.type, ""): family for family in metrics.families()}


def test_the_table_tells_every_metric_as_the_code_does(families: dict[str, Metric]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .*? \| (.+) \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert {name: (kind, meaning) for name, kind, meaning in rows} == {
        name: (family.type, family.documentation) for name, family in families.items()
    }
    assert [name for name, _, _ in rows] == sorted(families)
