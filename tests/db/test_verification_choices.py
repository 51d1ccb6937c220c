"""Whom a campaign leaves out by what verification found, and what bounces are to be expected."""

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from database import writing
from domain.statuses import CampaignStatus, Fact, Risk, Verdict
from models import Campaign, Recipient
from services import claims, ledger, verification, verification_summary
from services.campaigns import Refused
from services.left_out import left_out
from services.recount import recount
from services.verification_summary import Summary
from tests.factories import add_campaign, add_recipients

ROLE_AND_TYPO = Risk.ROLE | Risk.TYPO


@pytest.fixture
def campaign_id(session: Session, now: datetime) -> int:
    with writing(session):
        campaign = add_campaign(session, now, variables=[])
        for email, verdict, risks in (
            ("good@a.example", Verdict.DELIVERABLE, None),
            ("bad@a.example", Verdict.UNDELIVERABLE, None),
            ("info@a.example", Verdict.RISKY, Risk.ROLE),
            ("info@gmial.com", Verdict.RISKY, ROLE_AND_TYPO),
            ("x@mailinator.com", Verdict.RISKY, Risk.DISPOSABLE),
            ("who@a.example", Verdict.UNKNOWN, Risk.UNKNOWN),
            ("new@a.example", None, None),
        ):
            add_recipients(
                session, campaign, [email], now, verdict=verdict, risks=risks and int(risks)
            )
        return campaign.id


@pytest.mark.parametrize(
    ("undeliverable", "risks", "sent"),
    [
        (True, Risk(0), "good info info x who new"),
        (False, Risk(0), "good bad info info x who new"),
        (True, Risk.ROLE, "good x who new"),
        (True, Risk.TYPO, "good info x who new"),
        (True, Risk.DISPOSABLE | Risk.UNKNOWN, "good info info new"),
        (False, Risk.TYPO | Risk.ROLE | Risk.DISPOSABLE | Risk.UNKNOWN, "good bad new"),
    ],
)
def test_a_campaign_sends_to_the_chosen_kinds_alone(
    session: Session, campaign_id: int, undeliverable: bool, risks: Risk, sent: str
) -> None:
    with writing(session):
        campaign = verification_summary.choose(
            session, campaign_id, skip_undeliverable=undeliverable, skip_risks=risks
        )
    told = left_out(session, campaign, 7)
    with writing(session):
        claim = claims.claim(
            session,
            campaign_id=campaign_id,
            limit=10,
            worker="w",
            lease_seconds=60,
            send_undeliverable=not undeliverable,
        )
        claims.count_claims(session, {campaign_id: claim})
    assert [row.email.partition("@")[0] for row in claim.rows] == sent.split()
    assert told.undeliverable + told.doubted == claim.skipped == 7 - len(claim.rows)
    skipped = session.scalars(
        select(Recipient).where(Recipient.status == "skipped", Recipient.verdict != "undeliverable")
    ).all()
    assert {row.reason_code for row in skipped} <= {"left_out"}
    assert all("leaves such ones out" in str(row.reason) for row in skipped)
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_rows_under_two_risks_count_once_among_the_left_out(
    session: Session, campaign_id: int
) -> None:
    found = verification.risk_counts(session, campaign_id)
    assert found == {4: 1, 5: 1, 2: 1, 128: 1}
    whole = Summary(dict.fromkeys(Verdict, 1), found)
    assert (whole.with_risk(Risk.ROLE), whole.with_risk(Risk.TYPO)) == (2, 1)
    campaign = session.get_one(Campaign, campaign_id)
    campaign.skip_risks = int(ROLE_AND_TYPO)
    assert whole.left_out(campaign) == 3
    session.rollback()


def test_the_choice_ends_with_the_launch(session: Session, campaign_id: int) -> None:
    with writing(session):
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENDING
    with pytest.raises(Refused, match="launched"), writing(session):
        verification_summary.choose(
            session, campaign_id, skip_undeliverable=True, skip_risks=Risk.ROLE
        )


def test_the_outlook_rests_on_earlier_mails_once_there_are_enough(
    session: Session, campaign_id: int, now: datetime
) -> None:
    found = Summary(dict.fromkeys(Verdict, 0) | {Verdict.DELIVERABLE: 7}, {})
    campaign = session.get_one(Campaign, campaign_id)
    guessed = verification_summary.bounce_outlook(session, campaign, found, 7)
    assert guessed is not None
    assert guessed.earlier_mails == 0
    with writing(session):
        earlier = add_campaign(session, now, launched_at=now)
        good = [f"p{number}@a.example" for number in range(600)]
        add_recipients(session, earlier, good, now, facts=Fact.ACCEPTED | Fact.DELIVERED)
        gone = [f"q{number}@a.example" for number in range(12)]
        add_recipients(session, earlier, gone, now, facts=Fact.ACCEPTED | Fact.BOUNCED)
    known = verification_summary.bounce_outlook(session, campaign, found, 7)
    assert known is not None
    assert known.earlier_mails == 612
    assert 1.0 < known.low < 100 * 12 / 612 < known.high < 3.6
