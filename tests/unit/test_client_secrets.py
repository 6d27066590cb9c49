"""Short-lived secrets: they open until they expire, and their number is bounded."""

import pytest

from app.domain.errors import OverloadedError
from app.entrypoints.client_secrets import MOST_SECRETS, ClientSecrets
from app.entrypoints.websocket.realtime_session import Audio, AudioInput, SessionConfig


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.5

    def __call__(self) -> float:
        return self.now_s


MANUAL = SessionConfig(audio=Audio(input=AudioInput(turn_detection=None)))


def test_a_secret_holds_its_preset_and_its_owner_until_it_expires() -> None:
    clock = Clock()
    secrets = ClientSecrets(clock)
    minted = secrets.mint(MANUAL, lifetime_s=10, owner="alice")
    assert minted.expires_unix_s == 1_010
    for now_s in (1_000.5, 1_009.9):
        clock.now_s = now_s
        assert secrets.preset(minted.value.encode()) is MANUAL
        assert secrets.owner_of(minted.value.encode()) == "alice"
    clock.now_s = 1_010.0
    assert secrets.preset(minted.value.encode()) is None
    assert secrets.owner_of(minted.value.encode()) is None


def test_secrets_differ_and_each_has_its_own_preset() -> None:
    secrets = ClientSecrets(Clock())
    one, other = secrets.mint(MANUAL, lifetime_s=60, owner=None), secrets.mint(SessionConfig(), lifetime_s=60, owner=None)
    assert one.value != other.value
    assert len(one.value) >= len("ek_") + 43
    assert (secrets.preset(one.value.encode()), secrets.preset(other.value.encode())) == (MANUAL, SessionConfig())


@pytest.mark.parametrize("offered", [None, b"", b"ek_", b"ek_unknown", b"\xff"])
def test_what_was_not_minted_opens_nothing(offered: bytes | None) -> None:
    secrets = ClientSecrets(Clock())
    secrets.mint(MANUAL, lifetime_s=60, owner=None)
    assert secrets.preset(offered) is None


def test_no_secret_is_kept_as_it_is() -> None:
    secrets = ClientSecrets(Clock())
    minted = secrets.mint(MANUAL, lifetime_s=60, owner=None)
    assert minted.value not in str(vars(secrets))


def test_there_is_room_again_when_secrets_expire() -> None:
    clock = Clock()
    secrets = ClientSecrets(clock)
    first = secrets.mint(MANUAL, lifetime_s=20, owner=None)
    for _ in range(MOST_SECRETS - 1):
        secrets.mint(MANUAL, lifetime_s=10, owner=None)
    with pytest.raises(OverloadedError):
        secrets.mint(MANUAL, lifetime_s=10, owner=None)
    clock.now_s += 10
    assert secrets.preset(secrets.mint(MANUAL, lifetime_s=10, owner=None).value.encode())
    assert secrets.preset(first.value.encode())
