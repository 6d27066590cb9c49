"""Who sent a request, where proxies stand between."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entrypoints.proxies import Proxies, read_address

OURS: Final = ("10.0.0.0/8", "192.0.2.7", "fd00::/16")
ADDRESSES: Final = st.ip_addresses().map(str)
PROXIES: Final = st.one_of(*(st.ip_addresses(network=ip_network(network)) for network in OURS)).map(str)
STRANGERS: Final = ADDRESSES.filter(lambda text: read_address(text) not in Proxies(OURS))
CLAIMS: Final = st.lists(st.one_of(ADDRESSES, st.text(st.characters(codec="ascii", exclude_characters=","))), max_size=5)


def sender(peer: str, forwarded_for: Sequence[str]) -> str:
    return str(Proxies(OURS).sender(ip_address(peer), forwarded_for))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # no proxy of ours: its word counts for nothing
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # the first is what the client claimed
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2,10.0.0.3"], "10.0.0.2"),
        ("192.0.2.8", ["198.51.100.1"], "192.0.2.8"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),  # the port is another one each time
        ("10.0.0.1", ["[2001:db8::5]:4711"], "2001:db8::5"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1, "], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
    ],
)  # fmt: skip
def test_the_sender_is_the_nearest_address_that_is_no_proxy_of_ours(peer: str, forwarded_for: list[str], expected: str) -> None:
    assert sender(peer, forwarded_for) == expected


@given(claims=CLAIMS, client=STRANGERS, hops=st.lists(PROXIES, min_size=1, max_size=4))
def test_what_a_client_claims_changes_nothing(claims: list[str], client: str, hops: list[str]) -> None:
    *passed, peer = hops
    told = str(read_address(client))
    assert sender(str(read_address(peer)), [", ".join([*claims, client, *passed])]) == told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"), (" 1.2.3.4 ", "1.2.3.4"), ("1.2.3.4:80", "1.2.3.4"), ("::1", "::1"), ("[::1]", "::1"),
        ("[::1]:80", "::1"), ("::ffff:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("2001:DB8::5", "2001:db8::5"),
        ("", "None"), ("unknown", "None"), ("localhost", "None"), ("1.2.3", "None"), ("1.2.3.4.5", "None"), ("01.2.3.4", "None"),
        ("[::1", "::1"), ("::g", "None"),
    ],
)  # fmt: skip
def test_addresses_are_read_as_proxies_write_them(text: str, expected: str) -> None:
    assert str(read_address(text)) == expected
