"""Stopping a campaign while it is sent: the deeds of a person, and what must hold after them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from database import writing
from services import campaigns
from tests.flow.schedulers import counters, wait_for
from tests.ledger_rows import suppress_all

DEEDS = ["pause", "cancel", "suppress"]
#: The promise, and the slots that mails may have by then (seconds).
WITHIN_SECONDS = 2.0 + 1.0


def assert_stops_in_time(
    deed: str, campaign_id: int, sessions: sessionmaker[Session], simulator: Any, rate: int
) -> None:
    """Stop a campaign to 1,000 people in the middle: nobody gets it any more, all are accounted.

    How late the last mail is depends on free cores; how many still leave does not: no more than
    `rate` mails a second allow within the promise.
    """
    now = datetime.now(UTC)
    with sessions() as session, writing(session):
        if deed == "pause":
            campaigns.pause(session, campaign_id, now, by="owner@example.com")
        elif deed == "cancel":
            campaigns.cancel(session, campaign_id, now, "owner@example.com")
        else:
            suppress_all(session, [f"person{number}@example.com" for number in range(1000)])
    before = simulator.outbox.total
    ended = {"pause": "sending", "cancel": "pending", "suppress": "pending"}[deed]
    wait_for(lambda: counters(sessions, campaign_id)[ended] == 0)
    wait_for(lambda: counters(sessions, campaign_id)["sending"] == 0)
    assert simulator.outbox.total - before <= rate * WITHIN_SECONDS
    figures = counters(sessions, campaign_id)
    stopped = {"pause": "pending", "cancel": "cancelled", "suppress": "skipped"}[deed]
    assert figures[stopped] == 1000 - simulator.outbox.total > 700
    assert set(simulator.outbox.counts.values()) == {1}
