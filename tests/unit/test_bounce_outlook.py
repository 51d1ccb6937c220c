"""The expected bounces: a range that never claims more than is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounce_outlook import Sendable, outlook
from domain.statuses import Risk

COUNTS = st.integers(min_value=0, max_value=10_000)


def test_nobody_to_send_to_has_no_outlook() -> None:
    assert outlook(Sendable(0, 0, 0, {}), 0, 0) is None


@given(COUNTS, COUNTS, COUNTS, st.dictionaries(st.integers(1, 255), COUNTS), COUNTS, COUNTS)
def test_the_range_is_a_range_of_percent_for_any_audience(
    good: int, new: int, bad: int, risks: dict[int, int], bounced: int, others: int
) -> None:
    found = outlook(Sendable(good, new, bad, risks), bounced, bounced + others)
    if found is not None:
        assert 0 <= found.low <= found.high <= 100 + 1e-9
        assert found.mails == good + new + bad + sum(risks.values())


@pytest.mark.parametrize(
    ("sendable", "level"),
    [
        (Sendable(1000, 0, 0, {}), "ok"),
        (Sendable(1000, 0, 0, {int(Risk.UNKNOWN): 200}), "warn"),
        (Sendable(0, 1000, 0, {}), "warn"),
        (Sendable(1000, 0, 100, {}), "fail"),
        (Sendable(0, 0, 0, {int(Risk.TYPO): 10}), "fail"),
    ],
)
def test_the_level_warns_before_the_limits_of_ses(sendable: Sendable, level: str) -> None:
    found = outlook(sendable, 0, 0)
    assert found is not None
    assert found.level == level


def test_more_history_makes_the_range_narrower_around_the_true_share() -> None:
    few = outlook(Sendable(100, 0, 0, {}), 10, 1_000)
    many = outlook(Sendable(100, 0, 0, {}), 1_000, 100_000)
    assert few is not None
    assert many is not None
    assert few.low < many.low < 1.0 < many.high < few.high
