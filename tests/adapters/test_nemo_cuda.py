"""What becomes of the errors of a CUDA device; none is needed to raise them."""

import pytest
import torch

from app.adapters.nemo import cuda
from app.domain.errors import DeviceFailedError

OUT_OF_MEMORY, ILLEGAL_ADDRESS, NO_DEVICE = 2, 700, 100  # <driver_types.h>


def failed(code: int) -> torch.AcceleratorError:
    """As PyTorch raises it."""
    failure = torch.AcceleratorError("CUDA error")
    failure.error_code = code  # type: ignore[attr-defined]  # its stub says nothing of it
    return failure


@pytest.mark.parametrize("code", [ILLEGAL_ADDRESS, NO_DEVICE])
def test_a_device_that_fails_is_lost(code: int) -> None:
    with pytest.raises(DeviceFailedError, match="start the service again"), cuda.watched():
        raise failed(code)


def test_memory_that_cuda_itself_does_not_find_is_no_lost_device() -> None:
    with pytest.raises(torch.AcceleratorError), cuda.watched():
        raise failed(OUT_OF_MEMORY)
    with pytest.raises(torch.OutOfMemoryError), cuda.watched():
        raise torch.OutOfMemoryError("CUDA out of memory")
