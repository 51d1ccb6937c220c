"""Stopping a campaign while it is sent: the deeds of a person, and what must hold after them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from database import writing
from services import campaigns
from tests.flow.schedulers import counters, wait_for
from tests.ledger_rows import suppress_all

DEEDS = ["pause", "cancel", "suppress"]
#: The promise, and what a mail that left in time may take to SES (seconds).
WITHIN_SECONDS = 2.0 + 0.5


def assert_stops_in_time(
    deed: str, campaign_id: int, sessions: sessionmaker[Session], simulator: Any
) -> None:
    """Stop a campaign to 1,000 people in the middle: nobody gets it any more, all are accounted."""
    now = datetime.now(UTC)
    with sessions() as session, writing(session):
        if deed == "pause":
            campaigns.pause(session, campaign_id, now, by="owner@example.com")
        elif deed == "cancel":
            campaigns.cancel(session, campaign_id, now, "owner@example.com")
        else:
            suppress_all(session, [f"person{number}@example.com" for number in range(1000)])
    done = time.time()
    ended = {"pause": "sending", "cancel": "pending", "suppress": "pending"}[deed]
    wait_for(lambda: counters(sessions, campaign_id)[ended] == 0)
    wait_for(lambda: counters(sessions, campaign_id)["sending"] == 0)
    assert max(simulator.outbox.times) < done + WITHIN_SECONDS
    figures = counters(sessions, campaign_id)
    stopped = {"pause": "pending", "cancel": "cancelled", "suppress": "skipped"}[deed]
    assert figures[stopped] == 1000 - simulator.outbox.total > 700
    assert set(simulator.outbox.counts.values()) == {1}
