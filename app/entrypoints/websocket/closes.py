"""How a live session may end before it is finished, and the codes that it is closed with."""

from typing import Final

from ...domain.errors import InvalidRequestError, SpeechError, UnavailableError
from ..errors import ErrorBody

FINISHED: Final = 1000  # close codes of RFC 6455 and IANA's registry
GOING_AWAY: Final = 1001
BROKEN: Final = 1002
NO_CODE: Final = 1005  # never sent: it stands for a close frame without a code
REFUSED: Final = 1008
TOO_LARGE: Final = 1009
FAILED: Final = 1011
OVERLOADED: Final = 1013


class LeftError(Exception):
    """The client is gone, or takes nothing any more: nobody is left to tell."""


class IdleError(Exception):
    """The client has sent nothing for too long."""


class RefusedError(Exception):
    """The client may not come in; `body` tells why, and then the socket is closed with `code`."""

    def __init__(self, body: ErrorBody, *, code: int) -> None:
        super().__init__(body.error.message)
        self.body, self.code = body, code


def close_code(failure: SpeechError) -> int:
    """Return the code that a socket is closed with after a failure."""
    if isinstance(failure, UnavailableError):
        return OVERLOADED
    return REFUSED if isinstance(failure, InvalidRequestError) else FAILED
