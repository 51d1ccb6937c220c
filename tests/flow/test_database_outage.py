"""The database goes away in the middle of a campaign and comes back: it costs time, and nothing
else. The server is stopped at once, as by a power cut; schedulers send and poll meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, Recipient
from tests.flow.schedulers import (
    Schedulers,
    assert_counters_true,
    counters,
    schedulers_of,
    wait_for,
)
from tests.ledger_rows import add_campaign
from tests.postgres import PostgresServer


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """SQLite is a file: it cannot go away by itself."""
    return postgres_url


@pytest.fixture
def three(
    environment: dict[str, str], sessions: sessionmaker[Session], tmp_path: Path
) -> Iterator[Schedulers]:
    """Three schedulers that share 150 mails a second."""
    settings = {**environment, "MAX_EMAILS_PER_SECOND": "150"}
    with schedulers_of(settings, tmp_path) as schedulers:
        for _ in range(3):
            schedulers.start()
        yield schedulers


def send_through_an_outage(
    server: PostgresServer,
    sessions: sessionmaker[Session],
    simulator: Any,
    seconds: float,
    mails: int,
) -> int:
    """A campaign whose database is gone for so long, to its end; its id."""
    simulator.faults.latency_ms = 60.0
    simulator.faults.delay_events = 0.3  # the queue is never empty while mails go out
    emails = [f"success+{n}@simulator.amazonses.com" for n in range(mails)]
    with sessions() as session, writing(session):
        campaign_id = add_campaign(session, emails)
    wait_for(lambda: counters(sessions, campaign_id)["delivered"] > mails // 8)
    assert simulator.outbox.total < mails
    server.crash()
    try:
        time.sleep(seconds)
    finally:
        assert server.start()
    sessions.kw["bind"].dispose()  # our own connections broke with the rest
    wait_for(lambda: _is_over(sessions, campaign_id, mails), pause=0.3)
    return campaign_id


def assert_everybody_got_it_once(
    sessions: sessionmaker[Session], simulator: Any, campaign_id: int, mails: int
) -> None:
    assert set(simulator.outbox.counts.values()) == {1}
    assert len(simulator.outbox.counts) == mails
    with sessions() as session:
        assert set(session.scalars(select(Recipient.status))) == {RecipientStatus.DELIVERED}
    assert_counters_true(sessions, campaign_id)


def _is_over(sessions: sessionmaker[Session], campaign_id: int, mails: int) -> bool:
    with sessions() as session:
        sent = session.get_one(Campaign, campaign_id).status is CampaignStatus.SENT
    return sent and counters(sessions, campaign_id)["delivered"] == mails


@pytest.mark.slow
def test_a_short_outage_of_the_database_loses_and_repeats_nothing(
    postgres: PostgresServer, three: Schedulers, sessions: sessionmaker[Session], simulator: Any
) -> None:
    campaign_id = send_through_an_outage(postgres, sessions, simulator, seconds=3, mails=900)
    assert_everybody_got_it_once(sessions, simulator, campaign_id, 900)


@pytest.mark.chaos
def test_twenty_seconds_without_the_database_cost_nothing_but_time(
    postgres: PostgresServer, three: Schedulers, sessions: sessionmaker[Session], simulator: Any
) -> None:
    campaign_id = send_through_an_outage(postgres, sessions, simulator, seconds=20, mails=3000)
    assert_everybody_got_it_once(sessions, simulator, campaign_id, 3000)
