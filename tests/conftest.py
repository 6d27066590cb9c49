"""Fixtures that more than one test file asks for."""

import pytest
from hypothesis import HealthCheck, settings

from app.domain.ports import Recognizer

pytest.register_assert_rewrite("app.testing.contracts", "app.testing.contracts_audio")
settings.register_profile(  # the same examples in every run, and none refused because the machine was busy
    "ours", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")


@pytest.fixture(scope="session")
def bundled_recognizer() -> Recognizer:
    """The real adapter on the bundled model; loaded once, as that takes seconds, and never changed by a test."""
    from app.adapters.nemo.recognizer import NemoRecognizer

    return NemoRecognizer(model="bundled")
