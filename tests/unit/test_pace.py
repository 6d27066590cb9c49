import pytest

from app.domain.pace import Pace


def test_the_pace_follows_the_last_batches() -> None:
    pace = Pace()
    assert pace.per_padded_s == 0
    pace = pace.after(run_s=1.0, padded_s=10.0)
    assert pace.per_padded_s == pytest.approx(0.1)
    for _ in range(30):
        pace = pace.after(run_s=3.0, padded_s=10.0)
    assert pace.per_padded_s == pytest.approx(0.3, rel=0.05)
