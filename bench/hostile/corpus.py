"""All cases, by family."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from . import bombs, broken, disguises, forms, lies, numbers, realtime, requests, slow, sockets, texts
from .case import Case

FAMILIES: Final[Mapping[str, Callable[[], Iterable[Case]]]] = {
    "bombs": bombs.cases,
    "lying heads": lies.cases,
    "short and broken": broken.cases,
    "numbers": numbers.cases,
    "disguises": disguises.cases,
    "forms": forms.cases,
    "names and text": texts.cases,
    "requests": requests.cases,
    "live sockets": sockets.cases,
    "realtime": realtime.cases,
    "slow clients": slow.cases,
}


def corpus(*, only: Sequence[str] = ("",)) -> list[Case]:
    """Return the cases in the order in which they are sent; of those whose `family/name` begins with one of `only`."""
    cases = [msgspec.structs.replace(case, family=family) for family, make in FAMILIES.items() for case in make()]
    return [case for case in cases if f"{case.family}/{case.name}".startswith(tuple(only))]
