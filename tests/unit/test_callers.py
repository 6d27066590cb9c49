"""Who asks: what requests are counted by."""

from typing import Any

import pytest

from app.entrypoints.callers import Caller, address_of


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("203.0.113.5", 4711), "203.0.113.5"),
        (("::ffff:203.0.113.5", 4711), "203.0.113.5"),
        (("2001:db8:1:2:aaaa::5", 4711), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:bbbb::6", 4712), "2001:db8:1:2::/64"),
        (("testclient", 50_000), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_caller_is_counted_by_address_and_of_ipv6_by_network(client: Any, expected: str) -> None:
    scope: Any = {"client": client}
    assert address_of(scope) == expected


def test_a_key_is_an_account_whatever_the_address_and_no_address_is_taken_for_a_key() -> None:
    accounts = [
        Caller(key=key, address=address).account
        for key, address in (("alice", "192.0.2.1"), ("alice", "192.0.2.2"), ("192.0.2.1", "192.0.2.3"), (None, "192.0.2.1"))
    ]
    assert accounts[0] == accounts[1]
    assert len(set(accounts)) == 3
