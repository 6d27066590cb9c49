"""How much each account may still ask for: token buckets, without a clock."""

from typing import Final

MOST_ACCOUNTS: Final = 20_000  # chosen: a few megabytes
_MINUTE_S: Final = 60.0


class Ledger:
    """A bucket for each account. It is full at first, holds what a minute brings, and fills evenly; it may go into debt.

    Kept of each is one number, when it will be full again (as in the ITU's generic cell rate algorithm, I.371). One that is full
    is as good as one never heard of, so only those that were drawn from lately need room. Times are seconds on any one clock.
    """

    def __init__(self, *, per_minute: float, most_accounts: int = MOST_ACCOUNTS) -> None:
        """Begin with every bucket full.

        Args:
            most_accounts: Remembered at a time; beyond that the one whose last draw is the longest ago is taken for full.
        """
        self.per_minute: Final = per_minute
        self._most_accounts = most_accounts
        self._full_s: dict[str, float] = {}  # in the order of the last draws

    @property
    def n_accounts(self) -> int:
        """How many are remembered."""
        return len(self._full_s)

    def left(self, account: str, *, now_s: float) -> float:
        """Return what is in the bucket, from `per_minute` down to a debt of any size."""
        return self.per_minute * (1 - self.full_in_s(account, now_s=now_s) / _MINUTE_S)

    def full_in_s(self, account: str, *, now_s: float) -> float:
        """Return how long it takes to fill the bucket."""
        return max(0.0, self._full_s.get(account, now_s) - now_s)

    def wait_s(self, account: str, least: float, *, now_s: float) -> float:
        """Return how long it takes until `least`, at most `per_minute`, is in the bucket; 0.0 if it is."""
        return max(0.0, (least - self.left(account, now_s=now_s)) / self.per_minute * _MINUTE_S)

    def draw(self, account: str, amount: float, *, now_s: float) -> None:
        """Take this much out, whether it is there or not."""
        if amount <= 0:
            return
        full_s = max(now_s, self._full_s.pop(account, now_s)) + amount / self.per_minute * _MINUTE_S
        self._full_s[account] = full_s
        if len(self._full_s) > self._most_accounts:
            del self._full_s[next(iter(self._full_s))]
