"""Fixtures that more than one test file asks for."""

from collections.abc import Generator
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import tests.profiles  # noqa: F401  # how many examples hypothesis tries
from app.domain.ports import Recognizer
from tests.service import running

pytest.register_assert_rewrite("app.testing.contracts", "app.testing.contracts_audio")


_SHOWN: Final = 20_000  # characters of a log: its end
_SHARED: Final = {  # what these files have in common takes long to start
    "tests/e2e/test_": "the service",
    "tests/adapters/test_nemo": "the model in this process",
    "tests/contract/test_recognizer": "the model in this process",
}


class _Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process of pytest whole files, and one of them all files that share what takes long to start."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((shared for start, shared in _SHARED.items() if path.startswith(start)), path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _Together(config, log)


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
