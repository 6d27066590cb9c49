"""What a live session tells and asks. All times are seconds from the session's first sample; utterances are numbered from 1."""

import msgspec

from .audio import Clip
from .errors import SpeechError
from .ports import Options
from .transcript import Transcript


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Someone began to speak at `at_s`, pre-roll included."""

    utterance: int
    at_s: float


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The speaker paused, or spoke for too long; `at_s` is when that was known, the silence after the speech included."""

    utterance: int
    at_s: float


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """The utterance is over and in the queue; exactly one `Final` or `Failed` follows, in the order of the utterances."""

    utterance: int
    start_s: float
    end_s: float


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """What the utterance says so far: the stable part only ever grows and never changes, the rest may."""

    utterance: int
    stable: Transcript
    fresh: Transcript  # the end of `stable` that is new
    tentative: Transcript  # follows `stable`


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """What the utterance says: it begins with all that was stable."""

    utterance: int
    transcript: Transcript
    fresh: Transcript  # the end of `transcript` that had not been stable yet
    start_s: float
    end_s: float


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The utterance could not be recognised to its end."""

    utterance: int
    failure: SpeechError


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody spoke from `start_s` to `end_s`; `utterance` is the number of an empty one."""

    utterance: int
    start_s: float
    end_s: float


Event = Started | Stopped | HandedOver | Partial | Final | Failed | Idle


class Request(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A clip to recognise; hand the answer to `answered` or `failed` with its ticket, in any order."""

    ticket: int
    clip: Clip
    options: Options
    tentative: bool  # for a partial: whatever is final goes before it


class Step(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a call of the session leads to, in order."""

    events: tuple[Event, ...] = ()
    requests: tuple[Request, ...] = ()
    withdrawn: tuple[int, ...] = ()  # tickets whose answers nobody wants any more
