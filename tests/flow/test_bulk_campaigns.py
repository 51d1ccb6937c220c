"""Campaigns that are sent in bulk calls: nobody lost, nobody twice, and singly where it must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
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
from tests.flow.stopping import DEEDS, assert_stops_in_time
from tests.ledger_rows import add_campaign, suppress


@pytest.fixture
def schedulers(environment: dict[str, str], tmp_path: Path) -> Iterator[Schedulers]:
    """Schedulers that send in bulk."""
    settings = {
        **environment,
        "MAX_EMAILS_PER_SECOND": "200",
        "SES_SEND_API": "bulk",
        "SES_BULK_CALLS_PER_SECOND": "50",
    }
    with schedulers_of(settings, tmp_path) as schedulers:
        yield schedulers


def make(sessions: sessionmaker[Session], emails: int | list[str], **columns: Any) -> int:
    with sessions() as session, writing(session):
        return add_campaign(session, emails, **columns)


def campaign_of(sessions: sessionmaker[Session], campaign_id: int) -> Campaign:
    with sessions() as session:
        return session.get_one(Campaign, campaign_id)


def sizes_of_calls(simulator: Any) -> list[int]:
    """How many mails each call brought: the mails of a call are received at one moment."""
    return sorted(Counter(simulator.outbox.times).values())


def test_a_campaign_in_bulk_reaches_everybody_once_and_no_suppressed_address(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    emails = [f"success+{n}@simulator.amazonses.com" for n in range(150)]
    campaign_id = make(sessions, [*emails, "bounce@simulator.amazonses.com", "gone@example.com"])
    with sessions() as session, writing(session):
        suppress(session, "gone@example.com")
    assert schedulers.start("--until-idle").wait() == 0
    figures = counters(sessions, campaign_id)
    assert (figures["delivered"], figures["bounced"], figures["skipped"]) == (150, 1, 1)
    assert set(simulator.outbox.counts) == {*emails, "bounce@simulator.amazonses.com"}
    assert set(simulator.outbox.counts.values()) == {1}
    assert sizes_of_calls(simulator)[-1] == 50
    campaign = campaign_of(sessions, campaign_id)
    assert (campaign.send_api, campaign.send_api_reason) == ("bulk", None)
    assert_counters_true(sessions, campaign_id)


def test_too_many_bulk_calls_slow_only_the_calls_and_the_rest_goes_singly(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    simulator.faults.bulk_calls_per_second = 1.0
    campaign_id = make(sessions, 600)
    schedulers.start(SES_BULK_CALLS_PER_SECOND="4")
    wait_for(lambda: counters(sessions, campaign_id)["reached_accepted"] == 600)
    sizes = sizes_of_calls(simulator)
    assert sizes[0] == 1
    assert sizes[-1] > 10
    with sessions() as session:
        calls = rate_limiter.read(session, rate_limiter.BULK)
        mails = rate_limiter.read(session)
    assert calls is not None
    assert mails is not None
    assert calls.pace.halved_at is not None
    assert calls.pace.rate < 4
    assert mails.pace.halved_at is None
    assert set(simulator.outbox.counts.values()) == {1}


def test_a_campaign_that_ses_refuses_in_bulk_goes_on_singly_and_says_so(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    simulator.faults.lose_events = 1.0
    simulator.faults.refuse.every = 1
    simulator.faults.refuse.count = 1
    campaign_id = make(sessions, 120)
    schedulers.start()
    wait_for(lambda: counters(sessions, campaign_id)["reached_accepted"] == 120)
    campaign = campaign_of(sessions, campaign_id)
    assert campaign.send_api == "single"
    assert "SES refused it in bulk" in str(campaign.send_api_reason)
    assert len(simulator.outbox.counts) == 120
    assert_counters_true(sessions, campaign_id)


def test_a_mail_too_large_for_bulk_goes_singly_with_the_reason(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    campaign_id = make(sessions, 3, html="<p>" + "very long " * 60_000 + "</p>")
    schedulers.start()
    wait_for(lambda: counters(sessions, campaign_id)["reached_accepted"] == 3)
    campaign = campaign_of(sessions, campaign_id)
    assert campaign.send_api == "single"
    assert "too large for SendBulkEmail" in str(campaign.send_api_reason)


def test_a_lost_answer_puts_every_mail_of_the_call_in_doubt_and_none_is_sent_again(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    simulator.faults.lose_events = 1.0
    simulator.faults.drop_after.every = 1
    simulator.faults.drop_after.count = 1
    campaign_id = make(sessions, 150)
    schedulers.start()

    def settled() -> bool:
        now = counters(sessions, campaign_id)
        return now["pending"] == now["sending"] == 0

    wait_for(settled)
    figures = counters(sessions, campaign_id)
    assert figures["in_doubt"] > 1
    assert figures["in_doubt"] + figures["sent"] == 150
    assert len(simulator.outbox.counts) == 150
    assert set(simulator.outbox.counts.values()) == {1}
    assert_counters_true(sessions, campaign_id)


def test_an_entry_that_ses_refuses_fails_alone(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers
) -> None:
    simulator.faults.entry_error.match = "person7@"
    simulator.faults.entry_error.status = "MESSAGE_REJECTED"
    campaign_id = make(sessions, 60)
    schedulers.start()
    wait_for(lambda: counters(sessions, campaign_id)["reached_accepted"] == 59)
    wait_for(lambda: campaign_of(sessions, campaign_id).status is CampaignStatus.SENDING)
    with sessions() as session:
        failed = select(Recipient.email).where(Recipient.status == RecipientStatus.FAILED)
        assert session.scalars(failed).all() == ["person7@example.com"]
    assert campaign_of(sessions, campaign_id).send_api == "bulk"


@pytest.mark.parametrize("deed", DEEDS)
def test_pause_cancel_and_suppression_hold_within_two_seconds_in_bulk_too(
    simulator: Any, sessions: sessionmaker[Session], schedulers: Schedulers, deed: str
) -> None:
    """Also for mails that are claimed by then and wait for their call."""
    campaign_id = make(sessions, 1000)
    scheduler = schedulers.start(MAX_EMAILS_PER_SECOND="40", SES_BULK_CALLS_PER_SECOND="2")
    wait_for(lambda: simulator.outbox.total > 20)
    wait_for(lambda: counters(sessions, campaign_id)["sending"] >= 10)
    assert_stops_in_time(deed, campaign_id, sessions, simulator, rate=40)
    scheduler.terminate(60.0)  # until then events come in
    assert_counters_true(sessions, campaign_id)
