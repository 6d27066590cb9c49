"""Fixtures that more than one test file asks for."""

from collections.abc import Generator

import pytest

import tests.profiles  # noqa: F401  # how many examples hypothesis tries
from app.domain.ports import Recognizer
from tests.service import running

pytest.register_assert_rewrite("app.testing.contracts", "app.testing.contracts_audio")


_SHOWN = 20_000  # characters of a log: its end


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that fails what the services have logged that run then."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {service.url}", service.log[-_SHOWN:]) for service in running]
    return report


@pytest.fixture(scope="session")
def bundled_recognizer() -> Recognizer:
    """The real adapter on the bundled model; loaded once, as that takes seconds, and never changed by a test."""
    from app.adapters.nemo.recognizer import NemoRecognizer

    return NemoRecognizer(model="bundled")
