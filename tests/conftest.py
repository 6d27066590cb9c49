"""Fixtures that more than one test file asks for."""

import pytest

import tests.profiles  # noqa: F401  # how many examples hypothesis tries
from app.domain.ports import Recognizer

pytest.register_assert_rewrite("app.testing.contracts", "app.testing.contracts_audio")


@pytest.fixture(scope="session")
def bundled_recognizer() -> Recognizer:
    """The real adapter on the bundled model; loaded once, as that takes seconds, and never changed by a test."""
    from app.adapters.nemo.recognizer import NemoRecognizer

    return NemoRecognizer(model="bundled")
