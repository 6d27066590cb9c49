"""Fixtures of the adapters' tests."""

from collections.abc import Iterator

import pytest

from app.adapters.processes.normalizer import ProcessNormalizer
from tests.adapters.decoding import pool


@pytest.fixture(scope="session")
def shared() -> Iterator[ProcessNormalizer]:
    """A pool of one process, which no test kills."""
    with pool() as (normalizer, _):
        yield normalizer
