"""Silence around NeMo: its import and every model it restores print banners, warnings and telemetry notices."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TALKERS: Final = (
    "nv_one_logger",
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "numexpr",
    "matplotlib",
    "torch",
    "nemo_logger",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Let NeMo be imported and used inside without a word below an error; exceptions pass.

    Levels of the loggers named here and the warning filters are put back afterwards. NeMo's own logger stays at
    ERROR: its warnings at run time are advice for people who train. Its import also takes `warnings.showwarning`
    for itself, which is given back. The warning filters belong to the whole process: what another thread warns of
    meanwhile is lost too, which is why only the one load at start-up is wrapped, and streams are never redirected.
    """
    talkers = [logging.getLogger(name) for name in _TALKERS]
    levels = [talker.level for talker in talkers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for talker in talkers:
            talker.setLevel(logging.ERROR)
        try:
            _hush_nemo()
            yield
        finally:
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)
            logging.getLogger("nemo_logger").setLevel(logging.ERROR)


def _hush_nemo() -> None:
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(logging.ERROR)
    nemo_logging.captureWarnings(False)
