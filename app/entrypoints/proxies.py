"""Proxies in front of the service: who really sent a request, and whether over TLS."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

Address = IPv4Address | IPv6Address
_SCHEMES: Final = {ScopeType.HTTP: {b"http": "http", b"https": "https"}, ScopeType.WEBSOCKET: {b"http": "ws", b"https": "wss"}}
_SCHEMES[ScopeType.WEBSOCKET] |= {b"ws": "ws", b"wss": "wss"}  # as some proxies write it


def read_address(text: str) -> Address | None:
    """Read an address as proxies write it, with a port or without, in brackets or not; None if it is none."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without the zone, which names a card of this machine
    return address


class Proxies:
    """Those whose word on who sent a request is taken."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def __contains__(self, address: object) -> bool:
        return isinstance(address, Address) and any(address in network for network in self._networks)

    def sender(self, peer: Address, forwarded_for: Sequence[str]) -> Address:
        """Return the nearest address that is no proxy of ours.

        Each proxy adds on the right of `X-Forwarded-For` who sent the request to it. So what stands left of the first stranger is
        that stranger's word, and counts for nothing.

        Args:
            peer: Whoever opened the connection.
            forwarded_for: Every value of the header, in order; a value may hold several addresses.
        """
        sender = peer
        hops = [hop for value in forwarded_for for hop in value.split(",")]
        while hops and sender in self:
            told = read_address(hops.pop())
            if told is None:
                break  # the proxy that wrote it was told no address: it answers for whom it lets through
            sender = told
        return sender


class ProxyDoor(ASGIMiddleware):
    """Puts the sender's own address and scheme into a request that a trusted proxy passed on.

    Granian's `wrap_asgi_with_proxy_headers` takes what a proxy writes as it is: with a port in it, as some do, every connection
    would be a caller of its own. And it does not know the IPv4 address of a proxy that came in over IPv6.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, networks: Iterable[str]) -> None:
        self._trusted = Proxies(networks)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        client = scope.get("client")
        peer = read_address(client[0]) if client else None
        if client and peer and peer in self._trusted:
            sender = self._trusted.sender(peer, [value.decode("latin-1") for value in _values(scope, b"x-forwarded-for")])
            if sender != peer:
                scope["client"] = (str(sender), 0)  # nobody tells its port
            for value in _values(scope, b"x-forwarded-proto"):
                told = value.rpartition(b",")[2].strip().lower()  # the nearest proxy's word
                scope["scheme"] = _SCHEMES[ScopeType(scope["type"])].get(told, scope["scheme"])
        await next_app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for header, value in scope["headers"] if header == name]
