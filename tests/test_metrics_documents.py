"""What is written about metrics, against the registry: the table in the docs, the dashboard, the alerts and their runbook."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.core import Metric

from app.container import Container
from app.entrypoints.drain import Drain
from app.entrypoints.metrics.registry import Metrics
from app.entrypoints.readiness import ReadyCheck
from app.settings import Settings, fields

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
_SUFFIXES: Final = {"counter": "_total", "info": "_info"}
_SAMPLES: Final = ("_bucket", "_sum", "_count")  # of a histogram
_OF_PROMETHEUS: Final = {"up"}
_OF_NGINX: Final = {"limit_req"}
_AFTER_DRAIN_S: Final = 15  # from when nothing is under way any more to the end of the process


@pytest.fixture(scope="module")
def families() -> dict[str, Metric]:
    """Every family by the name that queries use."""
    engine = Container(settings=Settings()).engine()
    metrics = Metrics(engine, ready=ReadyCheck(engine, Drain(), decodes=lambda: True), n_live=lambda: 0)
    return {family.name + _SUFFIXES.get(family.type, ""): family for family in metrics.families()}


@pytest.fixture(scope="module")
def sample_names(families: dict[str, Metric]) -> set[str]:
    """Every name that a query may ask for."""
    found = set(_OF_PROMETHEUS)
    for name, family in families.items():
        found.update((name + suffix for suffix in _SAMPLES) if family.type == "histogram" else (name,))
    return found


def asked_for(expression: str) -> set[str]:
    """The names of metrics in a query: what stands before a selector, or alone."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|on|ignoring|without) *\([^)]*\)', "", expression)
    return set(re.findall(r"\b(?:stt|process|python)_\w+\b|\bup\b", bare))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DEPLOY / "grafana/parakeet-stt.json").read_text())
    return read


def dashboard_queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_the_table_tells_every_metric_as_the_code_does(families: dict[str, Metric]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .*? \| (.+) \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert {name: (kind, meaning) for name, kind, meaning in rows} == {
        name: (family.type, family.documentation) for name, family in families.items()
    }
    assert [name for name, _, _ in rows] == sorted(families)


def test_the_dashboard_asks_for_what_there_is(sample_names: set[str]) -> None:
    asked = {name for query in dashboard_queries() for name in asked_for(query)}
    assert asked <= sample_names
    assert len(asked) > 20


def test_every_panel_of_the_dashboard_has_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_rules_ask_for_what_there_is(sample_names: set[str]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        assert asked_for(rule["expr"]) <= sample_names
        assert set(re.findall(r"\bstt:[\w:]+", rule["expr"])) <= recorded


def test_every_alert_has_its_section_in_the_runbook() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    sections = re.findall(r"^### (Stt\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in alerts]
    for rule in alerts:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_names_panels_metrics_and_events_that_there_are(sample_names: set[str]) -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    panels = {" ".join(title.split()) for title in re.findall(r"(?<![*\w])\*([A-Z][^*]+)\*(?!\*)", text)}
    assert panels <= {panel["title"] for panel in dashboard()["panels"]}
    assert len(panels) > 5
    prefixes = re.findall(r"grep '\^(\w+)'", text)
    assert prefixes
    assert all(any(name.startswith(prefix) for name in sample_names) for prefix in prefixes)
    names = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    metrics = {name for name in names if name.startswith(("stt_", "process_"))}
    assert metrics <= sample_names
    source = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    assert {name for name in names - metrics - _OF_NGINX if f'"{name}"' not in source} == set()


def test_pods_scale_by_a_metric_that_there_is_and_end_after_their_work(sample_names: set[str]) -> None:
    scaler = yaml.safe_load((DEPLOY / "kubernetes/autoscaler.yaml").read_text())
    assert {metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]} <= sample_names
    pod = yaml.safe_load((DEPLOY / "kubernetes/deployment.yaml").read_text())["spec"]["template"]["spec"]
    drain_s = fields()["drain_s"].default if "drain_s" in fields() else 0
    assert pod["terminationGracePeriodSeconds"] >= drain_s + _AFTER_DRAIN_S
    assert pod["enableServiceLinks"] is False
