"""Retry failed: classes with counts, and nobody who may have a copy is sent another."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from database import writing
from domain.statuses import CampaignStatus, Fact, RecipientStatus
from models import Campaign, PastAttempt, Recipient
from services import ledger, retry
from services.campaigns import Refused
from services.ledger import FactChange
from services.recount import recount
from services.retry import FailedClass
from tests.ledger_rows import add_campaign


@pytest.fixture
def campaign(session: Session, now: datetime) -> int:
    """Two refused, one that could not be made, one rejected after a delivery, one sent."""
    outcomes: list[tuple[Fact, str]] = [
        (Fact.REFUSED, "message_rejected"),
        (Fact.REFUSED, "message_rejected"),
        (Fact.REFUSED, "template"),
        (Fact.ACCEPTED | Fact.DELIVERED | Fact.REJECTED, "Reject"),
        (Fact.ACCEPTED, "-"),
    ]
    with writing(session):
        campaign_id = add_campaign(session, len(outcomes))
        rows = session.scalars(select(Recipient).order_by(Recipient.id)).all()
        for number, row in enumerate(rows):
            row.attempt_id = f"{number:032x}"
        session.flush()
        changes = [
            FactChange(row.id, row.attempt_id, Fact.CLAIMED | fact, now, reason_code=code,
                       reason=f"Because of {code}")
            for row, (fact, code) in zip(rows, outcomes, strict=True)
        ]  # fmt: skip
        ledger.apply_changes(session, changes, now)
    return campaign_id


def test_classes_say_how_many_can_be_retried_and_how_many_cannot(
    session: Session, campaign: int
) -> None:
    assert retry.failed_classes(session, campaign) == [
        FailedClass("message_rejected", "Because of message_rejected", 2, 0),
        FailedClass("Reject", "Because of Reject", 0, 1),
        FailedClass("template", "Because of template", 1, 0),
    ]


def test_only_the_chosen_classes_wait_again(session: Session, campaign: int, now: datetime) -> None:
    with writing(session):
        by = "owner@example.com"
        assert retry.retry_failed(session, campaign, ["message_rejected"], now, by) == 2
        assert retry.retry_failed(session, campaign, ["message_rejected"], now, by) == 0
    states = session.scalars(select(Recipient.status).order_by(Recipient.id)).all()
    assert states == ["pending", "pending", "failed", "rejected", "sent"]
    assert len(session.scalars(select(PastAttempt)).all()) == 2
    assert ledger.read_counters(session, campaign) == recount(session, campaign)


def test_nobody_who_may_have_a_copy_is_retried(
    session: Session, campaign: int, now: datetime
) -> None:
    with writing(session):
        codes = ["message_rejected", "template", "Reject"]
        assert retry.retry_failed(session, campaign, codes, now, "owner@example.com") == 3
    rejected = session.scalars(select(Recipient).where(Recipient.reason_code == "Reject")).one()
    assert rejected.status is RecipientStatus.REJECTED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CampaignStatus.SENT, CampaignStatus.SENDING),
        (CampaignStatus.PAUSED, CampaignStatus.PAUSED),
    ],
)
def test_a_finished_campaign_sends_again_and_a_paused_one_stays_paused(
    session: Session,
    campaign: int,
    now: datetime,
    before: CampaignStatus,
    after: CampaignStatus,
) -> None:
    with writing(session):
        session.get_one(Campaign, campaign).status = before
    with writing(session):
        retry.retry_failed(session, campaign, ["template"], now, "owner@example.com")
    assert session.get_one(Campaign, campaign).status is after


def test_a_cancelled_campaign_is_not_retried(
    session: Session, campaign: int, now: datetime
) -> None:
    with writing(session):
        session.get_one(Campaign, campaign).status = CampaignStatus.CANCELLED
    with pytest.raises(Refused, match="cancelled"), writing(session):
        retry.retry_failed(session, campaign, ["template"], now, "owner@example.com")


def test_an_erased_person_is_neither_listed_nor_retried(
    session: Session, campaign: int, now: datetime
) -> None:
    with writing(session):
        row = session.scalars(select(Recipient).where(Recipient.reason_code == "template")).one()
        row.email = ""
    assert "template" not in {c.reason_code for c in retry.failed_classes(session, campaign)}
    with writing(session):
        assert retry.retry_failed(session, campaign, ["template"], now, "owner@example.com") == 0
