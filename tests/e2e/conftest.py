"""One running service for all end-to-end tests of a session: NeMo takes seconds to import."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from bench.cluster_nodes import Nodes
from bench.service import CONSOLE_SCRIPT, other_variables
from tests.service import Service, running_service


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--replicas",
        type=int,
        default=0,
        help="Have the model in so many replicas on a Ray cluster of two nodes (just cluster-e2e).",
    )


@contextmanager
def _cluster(replicas: int) -> Iterator[dict[str, str]]:
    """Start a cluster with replicas of the bundled model, if any; give the settings of a service that hands batches to them."""
    if not replicas:
        yield {}
        return
    with closing(Nodes(2, {})) as nodes:
        settings = {
            "STT_MODEL": "bundled", "STT_REPLICAS": str(replicas), "STT_REPLICA_CPUS": "0.5", "STT_RAY_ADDRESS": nodes.address,
        }  # fmt: skip
        subprocess.run([CONSOLE_SCRIPT, "replicas", "deploy"], env={**other_variables(), **settings}, check=True)
        yield settings


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The real service with the bundled model, ready."""
    replicas = request.config.getoption("--replicas", 0)
    with _cluster(replicas) as settings, running_service(settings=settings) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """Where the model runs, as the service tells it."""
    return "ray: cpu" if request.config.getoption("--replicas", 0) else "cpu"


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=120) as opened:
        yield opened
