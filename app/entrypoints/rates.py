"""How much one caller may ask for in a minute: requests, and seconds of audio."""

import math
from collections.abc import Callable
from time import monotonic
from typing import Final

from ..domain.errors import RateLimitedError
from .ledger import Ledger

RATE_HEADERS: Final = {  # of requests as OpenAI has them; of audio, which it counts in tokens, in the same way
    "x-ratelimit-limit-requests": "Requests per minute.",
    "x-ratelimit-remaining-requests": "Requests that may come at once.",
    "x-ratelimit-reset-requests": "How long until it is all of them again: `20ms`, `1.5s`, `2m0s`.",
    "x-ratelimit-limit-audio-seconds": "Seconds of audio per minute.",
    "x-ratelimit-remaining-audio-seconds": "Seconds of audio that are left; where none is, the next file is refused.",
    "x-ratelimit-reset-audio-seconds": "How long until it is all of them again.",
}
_ROUNDING: Final = 1e-6  # what fractions may be off by, where a whole number is told
_MARGIN_S: Final = 1e-3  # and what they may not be off by, for who waits as long as told


class Rates:
    """What every caller has asked for lately. Without any limit it keeps nothing."""

    def __init__(self, *, requests_per_minute: int, audio_s_per_minute: int, now_s: Callable[[], float]) -> None:
        """Begin with nothing asked for.

        Args:
            requests_per_minute: 0: no limit. So with `audio_s_per_minute`.
            now_s: A clock that never goes back.
        """
        self._requests = Ledger(per_minute=requests_per_minute) if requests_per_minute else None
        self._audio = Ledger(per_minute=audio_s_per_minute) if audio_s_per_minute else None
        self._now_s = now_s

    def meter(self, account: str) -> "Meter":
        """Return the meter of one caller, for as long as a request or session lasts."""
        return Meter(account, self._requests, self._audio, self._now_s)


class Meter:
    """Counts what one caller asks for. All calls come from the event loop."""

    def __init__(self, account: str, requests: Ledger | None, audio: Ledger | None, now_s: Callable[[], float]) -> None:
        self._account, self._requests, self._audio, self._now_s = account, requests, audio, now_s

    def count_request(self) -> None:
        """Count one request.

        Raises:
            RateLimitedError: It is one too many, and is not counted.
        """
        if self._requests:
            now_s = self._now_s()
            if wait_s := self._requests.wait_s(self._account, 1, now_s=now_s):
                raise _limited(f"{self._requests.per_minute:g} requests", wait_s)
            self._requests.draw(self._account, 1, now_s=now_s)

    def check_audio(self) -> None:
        """Ask whether more audio may come; how much a file holds nobody knows before it is decoded.

        Raises:
            RateLimitedError: All that may be heard has been, or more.
        """
        if self._audio:
            now_s = self._now_s()
            if self._audio.left(self._account, now_s=now_s) <= 0:
                wait_s = self._audio.wait_s(self._account, 0, now_s=now_s)
                raise _limited(f"{self._audio.per_minute:g} s of audio", wait_s)

    def count_audio(self, duration_s: float) -> None:
        """Count audio that was heard; beyond what was left it is a debt."""
        if self._audio:
            self._audio.draw(self._account, duration_s, now_s=self._now_s())

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Tell what is left, in `RATE_HEADERS`."""
        found = []
        for name, ledger in (("requests", self._requests), ("audio-seconds", self._audio)):
            if ledger:
                left = ledger.left(self._account, now_s=self._now_s())
                told = {
                    "limit": f"{ledger.per_minute:g}",
                    "remaining": str(max(0, math.floor(left + _ROUNDING))),
                    "reset": _duration(ledger.full_in_s(self._account, now_s=self._now_s())),
                }
                found += [(f"x-ratelimit-{what}-{name}".encode(), value.encode()) for what, value in told.items()]
        return found


UNLIMITED: Final = Rates(requests_per_minute=0, audio_s_per_minute=0, now_s=monotonic).meter("")


def _limited(limit: str, wait_s: float) -> RateLimitedError:
    retry_after_s = math.ceil(wait_s + _MARGIN_S)
    told = f"the limit of {limit} per minute is reached; try again in {retry_after_s} s"
    return RateLimitedError(told, retry_after_s=retry_after_s)


def _duration(seconds: float) -> str:
    """Write a time as OpenAI's headers do: `20ms`, `1.5s`, `2m0s`, `1h0m0s`."""
    milliseconds = math.ceil(1000 * seconds - _ROUNDING)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, left_ms = divmod(milliseconds, 60_000)
    hours, left_minutes = divmod(minutes, 60)
    shown = f"{left_ms / 1000:g}s"
    if hours:
        return f"{hours}h{left_minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown
