"""What is wrong with a RayService is told before a cluster finds out."""

from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.deploy, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]

MANIFEST: Final = (Path(__file__).parents[2] / "deploy" / "kubernetes-ray" / "rayservice.yaml").read_text()


def found(text: str) -> list[str]:
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed: `just deploy-check` does")
    pytest.importorskip("kubernetes_validate", reason="the dependency group `deploy` is not installed: `just deploy-check` does")
    from deploy.rayservice import faults

    return list(faults(text, locked=ray.__version__))


def test_the_manifest_is_faultless() -> None:
    assert found(MANIFEST) == []


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("serveConfigV2:", "serveConfig:", "serveConfig"),
        ("minReplicas: 2", "minReplicas: 3", "minReplicas..maxReplicas"),
        ("containerPort: 6379", "port: 6379", "the pods of head"),
        ("{sizeLimit: 20Gi}", "{size: 20Gi}", "the pods of"),
        ('rayVersion: "', 'rayVersion: "1', "rayVersion"),
        ("      - name: parakeet-stt\n", "      - name: other\n", "must be called parakeet-stt"),
        ("route_prefix: null", "route_prefix: /stt", "no route"),
        ('STT_REPLICAS: "2"', 'STT_REPLICAS: "3"', "do not fit"),
        ('{name: STT_REPLICAS, value: "2"}', '{name: STT_REPLICAS, value: "1"}', "different numbers"),
    ],
)
def test_a_fault_is_told(was: str, now: str, told: str) -> None:
    assert was in MANIFEST
    assert any(told in fault for fault in found(MANIFEST.replace(was, now)))


@pytest.mark.parametrize(("was", "now"), [('STT_DRAIN_S: "30"', 'STT_DRAINS: "30"'), ("replica_application", "replica")])
def test_what_cannot_be_built_is_an_error(was: str, now: str) -> None:
    with pytest.raises(Exception, match=r"STT_DRAINS|replica"):
        found(MANIFEST.replace(was, now))
