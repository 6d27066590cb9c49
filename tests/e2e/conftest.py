"""One running service for all end-to-end tests of a session: NeMo takes seconds to import."""

from collections.abc import Iterator

import httpx
import pytest

from tests.service import Service, running_service


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The real service with the bundled model, ready."""
    with running_service() as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=120) as opened:
        yield opened
