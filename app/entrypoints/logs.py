"""How the service writes its log: structlog, one event a line, what libraries log included."""

import logging
import sys
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import Processor

from ..settings import Settings

# Granian's own loggers hand on to the root's, which writes as we do. Its access log stays off: `request_finished` is one line for
# each request already, and knows the id, the audio and the outcome.
GRANIAN_LOGS: Final = {
    "formatters": {},
    "handlers": {},
    "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
}


def configure_logs(settings: Settings) -> None:
    """Send all events to standard error, readable on a terminal and as JSON elsewhere. It may be called again."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    # Both formats of structlog would by default show the variables of every frame: audio, and what people said.
    trace = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else console
    known: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[Processor] = [*([trace] if as_json else []), renderer]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*known, *written],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _Lines(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*known, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _StandardError)]:
        root.removeHandler(handler)
    root.addHandler(_StandardError(max(level, logging.WARNING), formatter))  # what libraries say below that is for their authors


def configure_command_logs(settings: Settings) -> None:
    """Do the same for a command that tells itself what it does: from warnings on, unless another level was asked for."""
    level = "warning" if settings.log_level == "info" else settings.log_level
    configure_logs(msgspec.structs.replace(settings, log_level=level))


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at the time."""

    def __init__(self, level: int, formatter: logging.Formatter) -> None:
        super().__init__(level)
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _Lines().msg(self.format(record))
        except Exception:
            self.handleError(record)


class _Lines(structlog.PrintLogger):
    """Writes lines to standard error. Where they cannot be written (a full disk, a reader that ended), the service goes on."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg
