"""Who asks: by the name of a key, or by address where there are no keys."""

from ipaddress import IPv6Address, IPv6Network
from typing import Final

import msgspec
from litestar.types import Scope

from .proxies import read_address

_HOUSEHOLD_BITS: Final = 64  # of an IPv6 address tell one customer from another; the rest anybody may choose anew for each request
_IN_STATE: Final = "caller"  # where a request's scope has it


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever sent a request; `key` is the name of the key that let it in."""

    key: str | None
    address: str

    @property
    def account(self) -> str:
        """What requests are counted by."""
        return f"key {self.key}" if self.key else f"address {self.address}"


def remember(scope: Scope, caller: Caller) -> None:
    """Keep who sent a request, for whoever works on it."""
    scope["state"][_IN_STATE] = caller


def caller_of(scope: Scope) -> Caller:
    """Return who sent a request that was let in."""
    caller: Caller = scope["state"][_IN_STATE]
    return caller


def address_of(scope: Scope) -> str:
    """Return the address a request is counted by: of IPv6 the network that one customer has, `unknown` where none is told."""
    client = scope.get("client")
    address = read_address(client[0]) if client else None
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _HOUSEHOLD_BITS), strict=False))
    return str(address) if address else "unknown"
