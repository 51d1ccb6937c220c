"""People and machines: who opened and clicked, the same for every order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from domain.opens import Engagement, Evidence, evidence_of, tally

DELIVERED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def opened(seconds: float, evidence: Evidence = Evidence.UNSAID) -> Engagement:
    return Engagement(DELIVERED + timedelta(seconds=seconds), evidence)


def clicked(seconds: float, link: str, evidence: Evidence = Evidence.UNSAID) -> Engagement:
    return Engagement(DELIVERED + timedelta(seconds=seconds), evidence, link)


@pytest.mark.parametrize(
    ("bot", "agent", "evidence"),
    [
        ("Likely", "Mozilla/5.0 (iPhone)", Evidence.MACHINE),
        ("Unlikely", "Mozilla/5.0", Evidence.PERSON),
        ("", "Mozilla/5.0", Evidence.MACHINE),
        ("", "Mozilla/5.0 (iPhone)", Evidence.UNSAID),
        ("Perhaps", "", Evidence.UNSAID),
    ],
)
def test_what_ses_says_decides_before_the_agent(bot: str, agent: str, evidence: Evidence) -> None:
    assert evidence_of(bot, agent) is evidence


def test_an_open_within_seconds_of_the_delivery_is_a_machines() -> None:
    counted = tally([opened(1), opened(60)], DELIVERED)
    assert (counted.machine_opens.count, counted.opens.count) == (1, 1)
    assert counted.opens.first == DELIVERED + timedelta(seconds=60)


def test_without_a_delivery_time_decides_nothing() -> None:
    assert tally([opened(1)], None).opens.count == 1


def test_a_person_that_ses_vouches_for_may_be_quick() -> None:
    assert tally([opened(1, Evidence.PERSON)], DELIVERED).opens.count == 1


def test_three_links_at_once_are_a_scanner_two_are_not() -> None:
    three = tally([clicked(60, "a"), clicked(60.5, "b"), clicked(61, "c")], DELIVERED)
    two = tally([clicked(60, "a"), clicked(60.5, "b"), clicked(60.7, "a")], DELIVERED)
    assert (three.clicks.count, three.machine_clicks.count) == (0, 3)
    assert (two.clicks.count, two.machine_clicks.count) == (3, 0)


def test_slow_clicks_on_many_links_are_a_person() -> None:
    counted = tally([clicked(60 + 10 * n, f"link {n}") for n in range(5)], DELIVERED)
    assert (counted.clicks.count, counted.clicks.last) == (5, DELIVERED + timedelta(seconds=100))


def test_every_order_counts_the_same() -> None:
    events = [opened(1), opened(50), clicked(60, "a"), clicked(61, "b"), clicked(62, "c")]
    results = {tally(order, DELIVERED) for order in permutations(events)}
    assert len(results) == 1


def test_nothing_counts_as_nothing() -> None:
    counted = tally([], DELIVERED)
    assert (counted.opens.count, counted.opens.first, counted.clicks.last) == (0, None, None)
