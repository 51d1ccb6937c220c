"""The rate of bulk calls: it grows while all goes well, and is halved when AWS says no."""

from __future__ import annotations

from domain.bulk_pacing import (
    LEAST_CALLS,
    MOST_CALLS,
    calls_in_reach,
    learned,
    mails_of_a_round,
)
from domain.pacing import Pace


def run(pace: Pace, start: int, seconds: int, throttled_above: float = 1e9) -> Pace:
    """Calls at the full rate, told twice a second."""
    for half in range(2 * seconds):
        calls = max(1, round(pace.rate / 2))
        throttles = calls if pace.rate > throttled_above else 0
        pace = learned(pace, calls, throttles, start + half / 2)
    return pace


def test_the_rate_grows_quickly_while_it_is_used_and_nothing_is_refused() -> None:
    assert run(Pace(1.0, 1.0), 1000, 12).rate > 50


def test_a_rate_that_is_not_used_does_not_grow() -> None:
    pace = Pace(10.0, 10.0)
    for second in range(60):
        pace = learned(pace, 2, 0, 1000.0 + second)
    assert pace.rate == 10


def test_a_refused_call_halves_once_and_the_rate_rests() -> None:
    pace = learned(Pace(8.0, 8.0), 8, 3, 1000.0)
    assert (pace.rate, pace.ceiling, pace.halved_at) == (4, 8, 1000.0)
    assert learned(pace, 4, 4, 1003.0).rate == 4


def test_after_a_refusal_it_settles_near_what_aws_takes() -> None:
    pace = run(Pace(1.0, 1.0), 1000, 300, throttled_above=20.0)
    assert 9 < pace.rate < 21


def test_it_stays_between_its_limits() -> None:
    assert run(Pace(900.0, 1.0), 1000, 30).rate == MOST_CALLS
    assert run(Pace(1.0, 1.0), 1000, 60, throttled_above=0.0).rate == LEAST_CALLS


def test_a_second_with_a_refusal_in_it_never_counts_as_a_good_one() -> None:
    pace = learned(Pace(8.0, 8.0), 8, 1, 1000.0)
    pace = learned(pace, 4, 1, 1005.5)
    assert pace.rate == 2


def test_calls_in_reach_follow_the_rate() -> None:
    assert calls_in_reach(0.0, 1000.0, 1.0) == 1
    assert calls_in_reach(1000.5, 1000.0, 1.0) == 0
    assert 15 < calls_in_reach(1000.0, 1000.0, 80.0) < 25


def test_a_round_waits_half_a_second_at_most_to_fill_a_call() -> None:
    assert mails_of_a_round(10.0) == 5
    assert mails_of_a_round(100.0) == 50
    assert mails_of_a_round(4000.0) == 400
