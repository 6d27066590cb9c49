"""Two answers of the service to the same sound, compared as closely as they can be."""

from typing import Any, Final

import pytest

_NEARNESS: Final = 1e-3  # sums of floats depend on what shares the batch, and on the kernels of the processor


def about(answer: Any) -> Any:
    """Return the decoded answer with floats that equal others within 1e-3, for `==`: all else must be the same."""
    match answer:
        case dict():
            return {name: about(value) for name, value in answer.items()}
        case list():
            return [about(value) for value in answer]
        case float():
            return pytest.approx(answer, abs=_NEARNESS)
        case _:
            return answer
