"""The quota engine with a clock of our own."""

from __future__ import annotations

import pytest

from ses_simulator.quota import RateBucket, RollingDay

DAY = 86_400


def test_steady_sender_at_the_rate_is_never_refused() -> None:
    bucket = RateBucket()
    assert all(bucket.passes(1, 14, 1000 + number / 14) for number in range(500))


def test_sender_above_the_rate_gets_exactly_the_rate() -> None:
    bucket = RateBucket()
    passed = sum(bucket.passes(1, 10, 1000 + number / 100) for number in range(3000))
    assert passed == pytest.approx(30 * 10 + 10, abs=1)  # half a minute and one burst


def test_many_recipients_leave_a_debt_that_is_repaid_in_time() -> None:
    bucket = RateBucket()
    assert bucket.passes(5, 1, 1000.0)
    refused = [second for second in range(1, 10) if not bucket.passes(1, 1, 1000.0 + second)]
    assert refused == [1, 2, 3, 4]


def test_recipients_count_for_twenty_four_hours() -> None:
    day = RollingDay()
    start = 1_700_000_000.0
    day.add(3, start)
    day.add(4, start + 3600)
    assert day.total(start + DAY - 61) == 7
    assert day.total(start + DAY + 61) == 4
    assert day.total(start + DAY + 3600 + 61) == 0
